"""Fixtures of the training tests: clients of a fresh account with a bucket that holds a training table."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import Keys
from tests.services.sagemaker import training_jobs


@dataclass
class World:
    """One account with clients, a bucket, and shortcuts."""

    account: str
    bucket: str
    s3: Any
    sagemaker: Any
    logs: Any
    client: Callable[..., Any]

    def put(self, key: str, body: bytes) -> str:
        """Store an object; its s3:// address."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def start(self, name: str, **changes: Any) -> str:
        """Start a job of `training_jobs.request`; its name."""
        self.sagemaker.create_training_job(**training_jobs.request(name, self.account, self.bucket, **changes))
        return name

    def run(self, name: str, **changes: Any) -> dict[str, Any]:
        """Start a job and wait for its end."""
        return training_jobs.wait(self.sagemaker, self.start(name, **changes))

    def script(self, name: str, image: str = training_jobs.SKLEARN, **files: str) -> dict[str, Any]:
        """The members of a request that runs `train.py` of these files."""
        uri = self.put(f"code/{name}/sourcedir.tar.gz", training_jobs.source(**files))
        return {
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
            "HyperParameters": {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": f'"{uri}"'},
        }

    def log(self, name: str) -> list[str]:
        """The messages of a job's log."""
        return training_jobs.log(self.logs, name)


@pytest.fixture
def world(client: Callable[..., Any], account: Keys) -> World:
    """A fresh account whose bucket has train/train.csv."""
    s3 = client("s3")
    bucket = f"data-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    made = World(account.account, bucket, s3, client("sagemaker"), client("logs"), client)
    made.put("train/train.csv", training_jobs.table())
    return made
