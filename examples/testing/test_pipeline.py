"""Tests of `pipeline.py` on this machine: real training, a fresh account per test, no AWS account and no mock.

pytest examples/testing
"""

from __future__ import annotations

import random

import pipeline
import pytest
from botocore.exceptions import ClientError

from kenja.testing import TestAccount


def table(rows: int, *, noise: bool, seed: int) -> str:
    """Label first. The label follows from the first column, or, with `noise`, from nothing."""
    draw = random.Random(seed)
    lines = []
    for _ in range(rows):
        x, y = draw.random(), draw.random()
        label = draw.randint(0, 1) if noise else int(x > 0.5)
        lines.append(f"{label},{x:.4f},{y:.4f}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def bucket(kenja: TestAccount, request: pytest.FixtureRequest) -> str:
    name = kenja.bucket()
    noise = request.node.get_closest_marker("noise") is not None
    for seed, channel in enumerate(("train", "validation")):
        body = table(400, noise=noise, seed=seed).encode()
        kenja.client("s3").put_object(Bucket=name, Key=f"{channel}/data.csv", Body=body)
    return name


def test_good_model_is_registered(kenja: TestAccount, bucket: str) -> None:
    assert pipeline.run(bucket, kenja.role, "churn") == "registered"
    model = kenja.client("sagemaker").describe_model(ModelName="churn")
    assert model["PrimaryContainer"]["ModelDataUrl"].startswith(f"s3://{bucket}/models/churn/")


@pytest.mark.noise
def test_model_that_learned_nothing_is_not_registered(kenja: TestAccount, bucket: str) -> None:
    assert pipeline.run(bucket, kenja.role, "churn") == "poor"
    with pytest.raises(ClientError, match="Could not find model"):
        kenja.client("sagemaker").describe_model(ModelName="churn")


def test_pipeline_waits_while_the_job_trains(kenja: TestAccount, bucket: str) -> None:
    kenja.hold_jobs()
    pipeline.start(bucket, kenja.role, "churn")
    assert pipeline.result("churn") == "waiting"
    kenja.step()  # the job starts
    assert pipeline.result("churn") == "waiting"
    kenja.step()  # its process has ended, its model is collected
    assert pipeline.result("churn") == "registered"


def test_wrong_data_fails_the_job_with_a_reason(kenja: TestAccount, bucket: str) -> None:
    kenja.client("s3").put_object(Bucket=bucket, Key="train/data.csv", Body=b"label,x\nyes,no\n")
    assert pipeline.run(bucket, kenja.role, "churn") == "failed"
    job = kenja.client("sagemaker").describe_training_job(TrainingJobName="churn")
    assert "data.csv" in job["FailureReason"]
