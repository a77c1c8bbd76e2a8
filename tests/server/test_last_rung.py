"""A server on the last rung of the ladder: it says so everywhere, refuses what it can not keep, and jobs get copies."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.conftest import RunningServer, serving
from tests.services.sagemaker import training_jobs

ACCOUNT, BUCKET = "000000000000", "last-rung"


@pytest.fixture(scope="module")
def bare() -> Iterator[RunningServer]:
    """A server without isolation. Its data folder has a short name: a model server's socket lies in it."""
    folder = Path(tempfile.mkdtemp(prefix="k"))
    with serving(folder / "d", "--rung", "none") as server:
        s3 = server.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="train/train.csv", Body=training_jobs.table())
        yield server
    shutil.rmtree(folder)


def test_built_in_training_works_and_the_log_says_that_the_data_folder_is_readable(bare: RunningServer) -> None:
    sagemaker = bare.client("sagemaker")
    sagemaker.create_training_job(**training_jobs.request("bare-1", ACCOUNT, BUCKET))
    job = training_jobs.wait(sagemaker, "bare-1")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    said = "\n".join(training_jobs.log(bare.client("logs"), "bare-1"))
    assert "Sandbox: none" in said
    assert "data folder" in said


def test_a_script_writes_into_its_copy_and_not_into_the_object(bare: RunningServer) -> None:
    s3, sagemaker = bare.client("s3"), bare.client("sagemaker")
    source = "import os\npath = os.path.join(os.environ['SM_CHANNEL_TRAIN'], 'train.csv')\nos.chmod(path, 0o666)\nopen(path, 'w').write('gone')\n"
    s3.put_object(Bucket=BUCKET, Key="code.tar.gz", Body=training_jobs.source(train__py=source))
    members = {
        "AlgorithmSpecification": {"TrainingImage": training_jobs.SKLEARN, "TrainingInputMode": "File"},
        "HyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": f"s3://{BUCKET}/code.tar.gz",
        },
    }
    sagemaker.create_training_job(**{**training_jobs.request("bare-2", ACCOUNT, BUCKET), **members})
    job = training_jobs.wait(sagemaker, "bare-2")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert s3.get_object(Bucket=BUCKET, Key="train/train.csv")["Body"].read() == training_jobs.table()


def test_network_isolation_is_refused(bare: RunningServer) -> None:
    request = training_jobs.request("bare-3", ACCOUNT, BUCKET, EnableNetworkIsolation=True)
    with pytest.raises(ClientError, match="EnableNetworkIsolation can not be honoured"):
        bare.client("sagemaker").create_training_job(**request)


def test_a_model_is_served(bare: RunningServer) -> None:
    sagemaker, runtime = bare.client("sagemaker"), bare.client("sagemaker-runtime")
    sagemaker.create_training_job(**training_jobs.request("bare-4", ACCOUNT, BUCKET))
    artifact = training_jobs.wait(sagemaker, "bare-4")["ModelArtifacts"]["S3ModelArtifacts"]
    container = {"Image": training_jobs.XGBOOST, "ModelDataUrl": artifact}
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=training_jobs.role(ACCOUNT), PrimaryContainer=container)
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="m", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="m", EndpointConfigName="m")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="m", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    low = runtime.invoke_endpoint(EndpointName="m", ContentType="text/csv", Body=b"-3,0,0,0")["Body"].read()
    high = runtime.invoke_endpoint(EndpointName="m", ContentType="text/csv", Body=b"3,0,0,0")["Body"].read()
    assert float(low) < 0.5 < float(high)
    sagemaker.delete_endpoint(EndpointName="m")


def test_doctor_tells_the_rungs() -> None:
    told = subprocess.check_output([sys.executable, "-m", "kenja", "doctor"], text=True)
    assert "rung none" in told
    assert "isolation" in told
