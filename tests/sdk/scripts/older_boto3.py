"""What a user of any boto3 writes: nothing here knows of Kenja. Storage, identity, metrics, a job, its log, its model in service; notes facts."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import http.client
import io
import json
import random
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

parser = argparse.ArgumentParser()
parser.add_argument("--role", required=True)
parser.add_argument("--bucket", required=True)
parser.add_argument("--image", required=True)
parser.add_argument("--data", type=Path, required=True, help="train.csv, label first; ask.csv without")
parser.add_argument("--facts", type=Path, required=True)
options = parser.parse_args()

MEBIBYTE = 1024 * 1024
QUICK = {"Delay": 1, "MaxAttempts": 120}  # the waiters' own pauses are minutes
facts: dict[str, Any] = {"version": botocore.__version__}


def code(call: Any, **request: Any) -> str:
    try:
        call(**request)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "no error"


def put_to(address: str, body: bytes) -> int:
    """The status of a PUT without a Content-Type, which urllib would add and the signature does not know."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("PUT", f"{parts.path}?{parts.query}", body)
    return connection.getresponse().status


def storage() -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=options.bucket)
    put = s3.put_object(Bucket=options.bucket, Key="a b/é+1.txt", Body=b"hello", Metadata={"colour": "blue"})
    got = s3.get_object(Bucket=options.bucket, Key="a b/é+1.txt", ChecksumMode="ENABLED")
    part = s3.get_object(Bucket=options.bucket, Key="a b/é+1.txt", Range="bytes=1-3")
    big = random.Random(7).randbytes(11 * MEBIBYTE + 5)
    parts = TransferConfig(multipart_threshold=5 * MEBIBYTE, multipart_chunksize=5 * MEBIBYTE)
    s3.upload_fileobj(io.BytesIO(big), options.bucket, "big", Config=parts)
    back = io.BytesIO()
    s3.download_fileobj(options.bucket, "big", back, Config=parts)
    for number in range(5):
        s3.put_object(Bucket=options.bucket, Key=f"many/{number}", Body=b"x" * number)
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=options.bucket, Prefix="many/", PaginationConfig={"PageSize": 2}
    )
    address = s3.generate_presigned_url("put_object", {"Bucket": options.bucket, "Key": "given"}, ExpiresIn=60)
    facts["presigned_put"] = put_to(address, b"by address")
    address = s3.generate_presigned_url("get_object", {"Bucket": options.bucket, "Key": "given"}, ExpiresIn=60)
    with urllib.request.urlopen(address) as answer:
        facts["presigned_get"] = answer.read().decode()
    s3.copy_object(Bucket=options.bucket, Key="copy", CopySource={"Bucket": options.bucket, "Key": "a b/é+1.txt"})
    removed = s3.delete_objects(Bucket=options.bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "given"}]})
    folders = s3.list_objects(Bucket=options.bucket, Delimiter="/")
    facts.update(
        body=got["Body"].read().decode(),
        metadata=got["Metadata"],
        etag=put["ETag"],
        checksum=got.get("ChecksumCRC32"),
        part=part["Body"].read().decode(),
        big=[hashlib.sha256(data).hexdigest() for data in (big, back.getvalue())],
        big_etag=s3.head_object(Bucket=options.bucket, Key="big")["ETag"],
        keys=[[entry["Key"] for entry in page["Contents"]] for page in pages],
        deleted=sorted(entry["Key"] for entry in removed["Deleted"]),
        folders=[entry["Prefix"] for entry in folders["CommonPrefixes"]],
        missing=code(s3.get_object, Bucket=options.bucket, Key="absent"),
    )


def identity() -> None:
    sts, iam = boto3.client("sts"), boto3.client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    made = iam.create_role(RoleName="older", AssumeRolePolicyDocument=json.dumps(trust), Description="for a test")
    iam.attach_role_policy(RoleName="older", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    session = sts.assume_role(RoleArn=options.role, RoleSessionName="older")["Credentials"]
    assumed = boto3.client(
        "sts",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    decided = iam.simulate_principal_policy(PolicySourceArn=options.role, ActionNames=["s3:GetObject"])
    attached = iam.list_attached_role_policies(RoleName="older")["AttachedPolicies"]
    facts.update(
        caller=sts.get_caller_identity()["Arn"],
        assumed=assumed.get_caller_identity()["Arn"],
        trust=iam.get_role(RoleName="older")["Role"]["AssumeRolePolicyDocument"] == trust,
        roles=sorted(role["RoleName"] for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]),
        role_arn=made["Role"]["Arn"],
        attached=[policy["PolicyName"] for policy in attached],
        decision=decided["EvaluationResults"][0]["EvalDecision"],
        in_use=code(iam.delete_role, RoleName="older"),
        unknown=code(iam.get_role, RoleName="nobody"),
    )


def metrics() -> None:
    cloudwatch = boto3.client("cloudwatch")
    minute = datetime.datetime.now(datetime.UTC).replace(second=0, microsecond=0)
    minute -= datetime.timedelta(minutes=2)
    series = {"Namespace": "Older", "Dimensions": [{"Name": "host", "Value": "a&b"}]}
    cloudwatch.put_metric_data(
        Namespace="Older",
        MetricData=[
            {"MetricName": "load", "Dimensions": series["Dimensions"], "Timestamp": minute, "Value": value}
            for value in (1.5, 2.5)
        ],
    )
    points = cloudwatch.get_metric_statistics(
        **series,
        MetricName="load",
        StartTime=minute,
        EndTime=minute + datetime.timedelta(minutes=1),
        Period=60,
        Statistics=["Sum", "Maximum", "SampleCount"],
    )["Datapoints"]
    facts.update(
        protocol=cloudwatch.meta.service_model.protocol,
        points=[[point["Sum"], point["Maximum"], point["SampleCount"]] for point in points],
        listed=[
            [entry["MetricName"], entry["Dimensions"]]
            for entry in cloudwatch.list_metrics(Namespace="Older")["Metrics"]
        ],
    )


def learning() -> None:
    s3, sagemaker, logs = boto3.client("s3"), boto3.client("sagemaker"), boto3.client("logs")
    s3.upload_file(str(options.data / "train.csv"), options.bucket, "tables/train.csv")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{options.bucket}/tables/"}
    sagemaker.create_training_job(
        TrainingJobName="older",
        RoleArn=options.role,
        AlgorithmSpecification={"TrainingImage": options.image, "TrainingInputMode": "File"},
        HyperParameters={
            "objective": "binary:logistic",
            "num_round": "12",
            "max_depth": "3",
            "eta": "0.4",
            "seed": "5",
        },
        InputDataConfig=[
            {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": source}},
        ],
        OutputDataConfig={"S3OutputPath": f"s3://{options.bucket}/models"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 120},
    )
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="older", WaiterConfig=QUICK)
    job = sagemaker.describe_training_job(TrainingJobName="older")
    group = "/aws/sagemaker/TrainingJobs"
    stream = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="older/")["logStreams"][0]
    page = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    found = logs.filter_log_events(logGroupName=group, logStreamNamePrefix="older/", filterPattern='[round="11", ...]')
    container = {"Image": options.image, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker.create_model(ModelName="older", PrimaryContainer=container, ExecutionRoleArn=options.role)
    variant = {"VariantName": "only", "ModelName": "older", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="older", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="older", EndpointConfigName="older")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="older", WaiterConfig=QUICK)
    runtime = boto3.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(
        EndpointName="older", Body=(options.data / "ask.csv").read_bytes(), ContentType="text/csv", Accept="text/csv"
    )
    facts.update(
        status=job["TrainingJobStatus"],
        ended=isinstance(job["TrainingEndTime"], datetime.datetime),
        messages=len(page["events"]),
        last_round=[event["message"] for event in found["events"]],
        predictions=[float(value) for value in answer["Body"].read().decode().split(",")],
        refusal=code(runtime.invoke_endpoint, EndpointName="older", Body=b"no,number", ContentType="text/csv"),
        taken=code(sagemaker.create_endpoint, EndpointName="older", EndpointConfigName="older"),
    )
    sagemaker.delete_endpoint(EndpointName="older")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="older", WaiterConfig=QUICK)
    facts["gone"] = code(sagemaker.describe_endpoint, EndpointName="older")


for walk in (storage, identity, metrics, learning):
    walk()
options.facts.write_text(json.dumps(facts))
