"""What the tests of training share: data, requests, and waiting for the end of a job."""

from __future__ import annotations

import io
import tarfile
import time
from typing import Any

import numpy as np

XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
FINAL = ("Completed", "Failed", "Stopped")


def role(account: str) -> str:
    """A role that need not exist."""
    return f"arn:aws:iam::{account}:role/Training"


def table(rows: int = 200, seed: int = 0, columns: int = 4) -> bytes:
    """CSV with a label that the first column tells, with a little noise."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, columns))
    labels = (values[:, 0] + 0.1 * random.normal(size=rows) > 0).astype(int)
    text = io.StringIO()
    np.savetxt(text, np.column_stack([labels, values]), delimiter=",", fmt="%.6g")
    return text.getvalue().encode()


def channel(name: str, uri: str, content_type: str | None = "text/csv") -> dict[str, Any]:
    """One channel of a request."""
    kind = {"ContentType": content_type} if content_type else {}
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}, **kind}


def request(name: str, account: str, bucket: str, **changes: Any) -> dict[str, Any]:
    """A valid CreateTrainingJob for built-in XGBoost on s3://bucket/train/; `changes` replace whole members."""
    return {
        "TrainingJobName": name,
        "RoleArn": role(account),
        "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        "HyperParameters": {"num_round": "5", "objective": "binary:logistic"},
        "InputDataConfig": [channel("train", f"s3://{bucket}/train/")],
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/output"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 120},
        **changes,
    }


def source(**files: str) -> bytes:
    """sourcedir.tar.gz; double underscores in a name stand for a dot."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def wait(sagemaker: Any, name: str, seconds: float = 60.0) -> dict[str, Any]:
    """The description of a job that has ended."""
    end = time.monotonic() + seconds
    while True:
        job: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
        if job["TrainingJobStatus"] in FINAL:
            return job
        assert time.monotonic() < end, f"{name} is still {job['SecondaryStatus']} after {seconds} s"
        time.sleep(0.05)


def log(logs: Any, name: str) -> list[str]:
    """Every message of a job's log."""
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/"
    )
    return [event["message"] for page in pages for event in page["events"]]


def unpacked(s3: Any, uri: str) -> dict[str, bytes]:
    """The files of a tar.gz object."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            member.name: tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
            if member.isfile()
        }
