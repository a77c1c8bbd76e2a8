"""The supervisor: what it leaves behind when it is stopped early or killed, and uploads whose clients go away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kenja.server import supervisor
from tests.conftest import RunningServer, serving, wait_until
from tests.crash import machine
from tests.crash.writers import cut_upload
from tests.services.sagemaker import training_jobs


@pytest.mark.crash
def test_a_data_folder_with_a_long_path_serves_and_trains(tmp_path: Path) -> None:
    """Longer than a Unix socket's path may be."""
    with serving(tmp_path / ("long-" * 20)) as server:
        s3, sagemaker = server.client("s3"), server.client("sagemaker")
        s3.create_bucket(Bucket="long-path")
        s3.put_object(Bucket="long-path", Key="train/train.csv", Body=training_jobs.table())
        sagemaker.create_training_job(**training_jobs.request("far-down", server.keys.account, "long-path"))
        assert training_jobs.wait(sagemaker, "far-down")["TrainingJobStatus"] == "Completed"


def test_a_stop_right_after_a_start_still_stops_the_jobs_that_were_left(tmp_path: Path) -> None:
    word = f"stop{uuid.uuid4().hex[:10]}"
    with serving(tmp_path / word) as server:
        s3, sagemaker = server.client("s3"), server.client("sagemaker")
        s3.create_bucket(Bucket=word)
        s3.put_object(Bucket=word, Key="train/train.csv", Body=training_jobs.table())
        source = training_jobs.source(train__py="import time; print('ready', flush=True); time.sleep(100)")
        s3.put_object(Bucket=word, Key="sourcedir.tar.gz", Body=source)
        parameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"s3://{word}/sourcedir.tar.gz"}
        specification = {"TrainingImage": training_jobs.SKLEARN, "TrainingInputMode": "File"}
        request = training_jobs.request(
            "left", server.keys.account, word, AlgorithmSpecification=specification, HyperParameters=parameters
        )
        sagemaker.create_training_job(**request)
        wait_until(lambda: machine.shims(server), 30)
        wait_until(lambda: "ready" in _log(server), 30)
        server.process.kill()
        server.process.wait(10)
    with serving(tmp_path / word) as server:
        assert server.stop() == 0
    # a zygote that still imports its libraries sees only afterwards that its server is gone
    assert not machine.settle(lambda: machine.left(word), 60)
    with serving(tmp_path / word) as server:
        assert training_jobs.wait(server.client("sagemaker"), "left")["TrainingJobStatus"] == "Stopped"


def _log(server: RunningServer) -> list[str]:
    logs = server.client("logs")
    try:
        return training_jobs.log(logs, "left")
    except logs.exceptions.ResourceNotFoundException:
        return []


def test_a_child_whose_supervisor_died_before_it_could_be_bound_to_it_does_not_begin() -> None:
    command = [sys.executable, "-c", "print('began')"]
    for parent, said in ((os.getpid(), b"began\n"), (1, b"")):
        child = subprocess.run(command, preexec_fn=partial(supervisor._die_with, parent), stdout=subprocess.PIPE)
        assert child.stdout == said
        assert child.returncode == (0 if said else -signal.SIGKILL)


@pytest.mark.parametrize("sent", [0, 100_000, 3_000_000])
def test_an_upload_whose_client_goes_away_leaves_no_file_and_no_object(
    server: RunningServer, client: Callable[..., Any], sent: int
) -> None:
    s3, bucket = client("s3"), f"cut-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    cut_upload(s3, bucket, "key", 6_000_000, sent)
    wait_until(lambda: not list((server.data / "objects" / "incoming").iterdir()), 10)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
