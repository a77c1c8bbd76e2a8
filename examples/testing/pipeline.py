"""A user's training pipeline, as it runs against AWS: train on what lies in S3, keep the model if it is good enough."""

from __future__ import annotations

import time
from typing import Any

import boto3

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
GOOD_ENOUGH = 0.9  # validation AUC


def start(bucket: str, role: str, name: str) -> None:
    """Start training on s3://BUCKET/train and /validation."""
    boto3.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        RoleArn=role,
        HyperParameters={"objective": "binary:logistic", "num_round": "20", "eval_metric": "auc"},
        InputDataConfig=[_channel(bucket, channel) for channel in ("train", "validation")],
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/models"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )


def result(name: str) -> str:
    """ "waiting", "failed", "poor", or "registered" once a model was made of a job that is good enough."""
    sagemaker = boto3.client("sagemaker")
    job = sagemaker.describe_training_job(TrainingJobName=name)
    if job["TrainingJobStatus"] == "InProgress":
        return "waiting"
    if job["TrainingJobStatus"] != "Completed":
        return "failed"
    scores = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    if scores["validation:auc"] < GOOD_ENOUGH:
        return "poor"
    container = {"Image": IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=job["RoleArn"], PrimaryContainer=container)
    return "registered"


def run(bucket: str, role: str, name: str) -> str:
    """Start, wait, decide."""
    start(bucket, role, name)
    while (found := result(name)) == "waiting":
        time.sleep(0.2)
    return found


def _channel(bucket: str, name: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/"}
    return {"ChannelName": name, "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
