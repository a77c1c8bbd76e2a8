"""What Kenja ships for users' tests: the example passes as it stands, accounts are apart, jobs go step by step."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from kenja.testing import TestAccount, TestServer
from tests.conftest import ROOT, RunningServer
from tests.services.sagemaker import training_jobs


@pytest.fixture
def bucket(kenja: TestAccount) -> str:
    name = kenja.bucket()
    kenja.client("s3").put_object(Bucket=name, Key="train/train.csv", Body=training_jobs.table())
    return name


@pytest.fixture
def other(kenja_server: TestServer) -> Iterator[TestAccount]:
    account = kenja_server.new_account()
    yield account
    account.release_jobs()


def secondary(kenja: TestAccount, name: str) -> tuple[str, str]:
    job = kenja.client("sagemaker").describe_training_job(TrainingJobName=name)
    return job["TrainingJobStatus"], job["SecondaryStatus"]


def test_example_of_a_users_tests_passes_in_its_own_pytest(kenja_server: TestServer) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--kenja-endpoint",
        kenja_server.endpoint,
        "-p",
        "no:cacheprovider",
        ".",
    ]
    done = subprocess.run(command, cwd=ROOT / "examples" / "testing", capture_output=True, text=True, timeout=150)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_unmodified_code_meets_the_account_of_its_test(kenja: TestAccount) -> None:
    assert boto3.client("sts").get_caller_identity()["Account"] == kenja.account
    assert ":assumed-role/KenjaExecutionRole/" in boto3.client("sts").get_caller_identity()["Arn"]


def test_tests_do_not_see_one_another(kenja: TestAccount, other: TestAccount) -> None:
    kenja.bucket("mine-alone")
    assert other.client("s3").list_buckets()["Buckets"] == []
    with pytest.raises(ClientError, match="403"):
        other.client("s3").head_bucket(Bucket="mine-alone")


def test_held_job_starts_and_ends_by_steps(kenja: TestAccount, bucket: str) -> None:
    kenja.hold_jobs()
    kenja.client("sagemaker").create_training_job(**training_jobs.request("stepped", kenja.account, bucket))
    assert [(held.name, held.phase) for held in kenja.held_jobs()] == [("stepped", "queued")]
    assert secondary(kenja, "stepped") == ("InProgress", "Starting")
    assert [held.phase for held in kenja.step("stepped")] == ["running"]
    assert secondary(kenja, "stepped")[0] == "InProgress"
    assert kenja.step("stepped") == []
    assert secondary(kenja, "stepped") == ("Completed", "Completed")
    with pytest.raises(LookupError, match="stepped"):
        kenja.step("stepped")


def test_held_job_is_stopped_by_a_step(kenja: TestAccount, bucket: str) -> None:
    kenja.hold_jobs()
    sagemaker = kenja.client("sagemaker")
    sagemaker.create_training_job(**training_jobs.request("stopped", kenja.account, bucket))
    sagemaker.stop_training_job(TrainingJobName="stopped")
    assert secondary(kenja, "stopped")[0] == "Stopping"
    kenja.step()
    assert secondary(kenja, "stopped")[0] == "Stopped"


def test_released_jobs_run_to_their_end(kenja: TestAccount, bucket: str) -> None:
    kenja.hold_jobs()
    sagemaker = kenja.client("sagemaker")
    sagemaker.create_training_job(**training_jobs.request("released", kenja.account, bucket))
    kenja.release_jobs()
    assert training_jobs.wait(sagemaker, "released")["TrainingJobStatus"] == "Completed"
    assert kenja.held_jobs() == []


def test_gates_hold_one_account_only(kenja: TestAccount, other: TestAccount) -> None:
    kenja.hold_jobs()
    other.bucket("free-to-run")
    other.client("s3").put_object(Bucket="free-to-run", Key="train/train.csv", Body=training_jobs.table())
    sagemaker = other.client("sagemaker")
    sagemaker.create_training_job(**training_jobs.request("free", other.account, "free-to-run"))
    assert training_jobs.wait(sagemaker, "free")["TrainingJobStatus"] == "Completed"


def test_server_not_meant_for_tests_refuses_them(server: RunningServer) -> None:
    with pytest.raises(RuntimeError, match=r"403 .*--allow-reset"):
        TestServer(server.endpoint).new_account()


def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the data folder should be")
    with pytest.raises(RuntimeError, match="did not start"):
        TestServer.start(tmp_path / "data")
