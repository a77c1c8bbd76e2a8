"""`kenja status` and the server's own log, looked at from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from kenja.cli import status
from kenja.core.config import Config
from tests.conftest import serving, wait_until
from tests.services.sagemaker import training_jobs


def asked(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kenja", "status", "--data", str(data), *options],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_status_of_a_server_and_of_none(tmp_path: Path) -> None:
    data = tmp_path / "data"
    before = asked(data)
    assert before.returncode == 1
    assert "server     stopped" in before.stdout
    assert "kenja serve" in before.stdout
    assert not data.exists(), "looking must create nothing"
    with serving(data, "--allow-reset") as server:
        s3 = server.client("s3")
        s3.create_bucket(Bucket="status")
        s3.put_object(Bucket="status", Key="train/train.csv", Body=training_jobs.table())
        s3.put_object(Bucket="status", Key="large", Body=b"x" * 3_000_000)
        found = json.loads(asked(data, "--json").stdout)
        assert (found["server"], found["endpoint"], found["pid"]) == ("running", server.endpoint, server.process.pid)
        assert found["accounts"] == 1
        assert found["jobs"] == {}
        assert found["disk"]["objects"] > 3_000_000
        assert set(found["memory"]) >= {"supervisor", "gateway", "reconciler"}
        assert all(size > 1_000_000 for size in found["memory"].values())
        text = asked(data)
        assert text.returncode == 0
        assert server.endpoint in text.stdout
    assert asked(data).returncode == 1


def test_status_counts_jobs_by_phase(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, "--allow-reset") as server:
        s3 = server.client("s3")
        s3.create_bucket(Bucket="status")
        s3.put_object(Bucket="status", Key="train/train.csv", Body=training_jobs.table())
        from kenja.testing import TestServer

        TestServer(server.endpoint).ask("POST", "/_kenja/jobs/hold", account=server.keys.account)
        for number in range(3):
            request = training_jobs.request(f"waiting-{number}", server.keys.account, "status")
            server.client("sagemaker").create_training_job(**request)
        assert status.status(Config(data)).jobs == {"queued": 3}


@pytest.mark.parametrize("form", ["json", "text"])
def test_log_names_the_request_that_its_caller_knows(tmp_path: Path, form: str) -> None:
    data = tmp_path / "data"
    log = tmp_path / "data.log"
    with serving(data, "--log-level", "INFO", "--log-format", form) as server:
        with pytest.raises(ClientError) as refused:
            server.client("sagemaker").describe_training_job(TrainingJobName="none")
        request = refused.value.response["ResponseMetadata"]["RequestId"]
        line = wait_until(lambda: next((line for line in log.read_text().splitlines() if request in line), ""))
    if form == "json":
        found = json.loads(line)
        assert (found["request"], found["service"], found["operation"]) == (request, "sagemaker", "DescribeTrainingJob")
        assert (found["status"], found["code"], found["level"]) == (400, "ValidationException", "INFO")
    else:
        assert f"request={request}" in line
        assert "sagemaker.DescribeTrainingJob 400 ValidationException" in line
