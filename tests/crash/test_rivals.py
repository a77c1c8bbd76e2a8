"""Two of a kind on one store: reconcilers that share the jobs, gateways on one PostgreSQL; and first starts that are cut short."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kenja.core.config import Config
from kenja.server import gateway, settings
from tests.conftest import RUNTIMES, RunningServer, root_keys, serving, wait_until
from tests.crash import training
from tests.services.sagemaker import training_jobs

pytestmark = [pytest.mark.crash, pytest.mark.slow]
BUCKET = "rivals"


def config_of(server: RunningServer) -> Config:
    return Config(
        server.data, port=int(server.endpoint.rpartition(":")[2]), database_url=server.database_url, runtimes=RUNTIMES
    )


@contextmanager
def second_reconciler(server: RunningServer) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **settings.sent(config_of(server))}
    child = subprocess.Popen([sys.executable, "-m", "kenja.server.reconciler"], env=environment)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(60)


@contextmanager
def second_gateway(server: RunningServer) -> Iterator[RunningServer]:
    line = socket.socket()
    line.bind(("127.0.0.1", 0))
    line.listen(64)
    port = line.getsockname()[1]
    told, ready = os.pipe()
    environment = {
        **os.environ,
        **settings.sent(replace(config_of(server), port=port)),
        gateway.SOCKET: str(line.fileno()),
        gateway.READY: str(ready),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "kenja.server.gateway"], env=environment, pass_fds=(line.fileno(), ready)
    )
    try:
        assert os.read(told, 1) == b"!"
        yield replace(server, endpoint=f"http://127.0.0.1:{port}")
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(60)
        for number in (told, ready):
            os.close(number)
        line.close()


def prepare(server: RunningServer) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="train/train.csv", Body=training_jobs.table())
    source = training_jobs.source(train__py=training.SCRIPT)
    s3.put_object(Bucket=BUCKET, Key="code/sourcedir.tar.gz", Body=source)


@pytest.mark.parametrize("dies", ["nobody", "the first", "the second"])
def test_two_reconcilers_run_every_job_once(tmp_path: Path, dies: str) -> None:
    with serving(tmp_path / f"rivals{uuid.uuid4().hex[:8]}") as server:
        prepare(server)
        with second_reconciler(server) as rival:
            jobs = [
                training.start(server, BUCKET, f"job-{number}", script=bool(number % 2), pause=0.05)
                for number in range(8)
            ]
            time.sleep(1.0)
            if dies == "the first":
                os.kill(server.children()["reconciler"], signal.SIGKILL)
            elif dies == "the second":
                rival.kill()
            for job in jobs:  # one log, one run, one model that names it
                found = training.ended(server, job, 120)
                assert found is not None
                training.check(server, BUCKET, job, found)
                assert found["TrainingJobStatus"] == "Completed", found.get("FailureReason")
        wait_until(lambda: not list((server.data / "jobs").iterdir()), 30)


def test_two_gateways_on_one_postgresql_show_one_world(postgres: str, tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--database-url", postgres) as first, second_gateway(first) as second:
        prepare(first)
        sagemaker: list[Any] = [server.client("sagemaker") for server in (first, second)]
        bucket = second.client("s3")
        assert bucket.get_object(Bucket=BUCKET, Key="train/train.csv")["Body"].read() == training_jobs.table()
        account = first.keys.account
        for turn in range(6):  # made by one, seen by the other, refused a second time by both
            one, other = sagemaker[turn % 2], sagemaker[(turn + 1) % 2]
            container = {"Image": training_jobs.XGBOOST, "ModelDataUrl": f"s3://{BUCKET}/none"}
            model = {"ExecutionRoleArn": training_jobs.role(account), "PrimaryContainer": container}
            one.create_model(ModelName=f"m{turn}", **model)
            assert other.describe_model(ModelName=f"m{turn}")["PrimaryContainer"]["Image"] == training_jobs.XGBOOST
            with pytest.raises(ClientError):
                other.create_model(ModelName=f"m{turn}", **model)
        sagemaker[1].create_training_job(**training_jobs.request("trained", account, BUCKET))
        job = training_jobs.wait(sagemaker[0], "trained")
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        serve(sagemaker[0], job, account)
        runtimes = [server.client("sagemaker-runtime") for server in (first, second)]
        answers = {
            runtime.invoke_endpoint(EndpointName="e", ContentType="text/csv", Body="1,2,3,4")["Body"].read()
            for runtime in runtimes
        }
        assert len(answers) == 1
        sagemaker[0].delete_endpoint(EndpointName="e")

        def gone(runtime: Any) -> bool:
            with pytest.raises(ClientError) as caught:
                runtime.invoke_endpoint(EndpointName="e", ContentType="text/csv", Body="1,2,3,4")
            return caught.value.response["Error"]["Code"] == "ValidationError"

        time.sleep(1.5)  # seconds after which no gateway may use a route that was taken away; hosting.routes.STALE
        assert all(gone(runtime) for runtime in runtimes)


def serve(sagemaker: Any, job: dict[str, Any], account: str) -> None:
    container = {"Image": training_jobs.XGBOOST, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker.create_model(
        ModelName="trained", ExecutionRoleArn=training_jobs.role(account), PrimaryContainer=container
    )
    variant = {"VariantName": "v", "ModelName": "trained", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    wait_until(lambda: sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService", 90)


def test_a_first_start_that_is_killed_at_any_moment_can_be_made_again(tmp_path: Path) -> None:
    """Folders, migrations, root keys: kill -9 of everything while they are made, on the same folder again and again."""
    choices = random.Random(7)
    for attempt in range(4):
        data = tmp_path / f"data-{attempt}"
        for _ in range(3):
            process = subprocess.Popen(
                [sys.executable, "-m", "kenja", "serve", "--port", "0", "--data", str(data)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            time.sleep(choices.uniform(0.1, 2.0))
            process.kill()  # its children die with it
            process.wait()
        with serving(data) as server:
            assert server.keys == root_keys(data)
            server.client("s3").create_bucket(Bucket=BUCKET)
            server.client("s3").put_object(Bucket=BUCKET, Key="k", Body=b"v")
            assert server.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
            assert server.client("s3").get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"v"
