"""Backups of servers that are at work: what is restored is whole, and the source never notices."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kenja.kernel.backup import MANIFEST
from tests.conftest import RunningServer, serving, wait_until
from tests.services.sagemaker import training_jobs

BUCKET = "backed-up"
pytestmark = pytest.mark.slow


def kenja(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "kenja", *words], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


class Writer:
    """Stores objects whose keys name their contents, overwrites and deletes some, until it is told to stop."""

    def __init__(self, s3: Any) -> None:
        self.written = 0
        self._s3 = s3
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._end.is_set():
            body = os.urandom(20_000 if self.written % 2 else 2000)  # in a file, or in the index
            self._s3.put_object(Bucket=BUCKET, Key=f"named/{hashlib.sha256(body).hexdigest()}", Body=body)
            self._s3.put_object(Bucket=BUCKET, Key=f"again/{self.written % 5}", Body=body)
            self._s3.delete_object(Bucket=BUCKET, Key=f"again/{(self.written + 2) % 5}")
            self.written += 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that has trained a model."""
    with serving(tmp_path_factory.mktemp("source") / "data") as running:
        s3, sagemaker = running.client("s3"), running.client("sagemaker")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="train/train.csv", Body=training_jobs.table())
        sagemaker.create_training_job(**training_jobs.request("trained", running.keys.account, BUCKET))
        assert training_jobs.wait(sagemaker, "trained")["TrainingJobStatus"] == "Completed"
        yield running


def facts(server: RunningServer) -> list[Any]:
    """What a user sees of the finished job: description, log, model."""
    sagemaker = server.client("sagemaker")
    job = sagemaker.describe_training_job(TrainingJobName="trained")
    job.pop("ResponseMetadata")
    model = training_jobs.unpacked(server.client("s3"), job["ModelArtifacts"]["S3ModelArtifacts"])
    return [job, training_jobs.log(server.client("logs"), "trained"), model, server.keys]


def named(server: RunningServer) -> int:
    """How many objects there are whose keys name their contents; every one is read."""
    s3, count = server.client("s3"), 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for item in page["Contents"]:
            body = s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
            assert hashlib.md5(body).hexdigest() == item["ETag"].strip('"') or "-" in item["ETag"]
            if item["Key"].startswith("named/"):
                assert hashlib.sha256(body).hexdigest() == item["Key"].removeprefix("named/")
                count += 1
    return count


@pytest.mark.parametrize("form", ["folder", "archive.tar", "archive.tar.gz"])
def test_a_backup_of_a_server_at_work_restores_to_what_it_showed(
    server: RunningServer, form: str, tmp_path: Path
) -> None:
    writer = Writer(server.client("s3"))
    wait_until(lambda: writer.written > 20)
    least = writer.written
    code, said = kenja("backup", "--data", str(server.data), str(tmp_path / form))
    most = writer.written + 1
    writer.stop()
    assert code == 0, said
    code, said = kenja("restore", "--data", str(tmp_path / "restored"), str(tmp_path / form))
    assert code == 0, said
    before = named(server) - (writer.written - least)
    with serving(tmp_path / "restored") as restored:
        assert facts(restored) == facts(server)
        assert before <= named(restored) <= before + most - least
        restored.client("s3").put_object(Bucket=BUCKET, Key="new", Body=b"it can be written to")
        restored.client("sagemaker").create_training_job(
            **training_jobs.request("second", restored.keys.account, BUCKET)
        )
        assert training_jobs.wait(restored.client("sagemaker"), "second")["TrainingJobStatus"] == "Completed"
    jobs = server.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in jobs] == ["trained"], "the source knows nothing of its copy"


def test_a_backup_writes_nothing_into_the_source(server: RunningServer, tmp_path: Path) -> None:
    def files() -> dict[str, float]:
        watched = (path for name in ("objects/blobs", "hosting") for path in (server.data / name).rglob("*"))
        return {str(path): path.stat().st_mtime for path in watched if path.is_file()}

    before, names = files(), {path.name for path in server.data.iterdir()}
    assert kenja("backup", "--data", str(server.data), str(tmp_path / "copy"))[0] == 0
    assert files() == before
    assert {path.name for path in server.data.iterdir()} == names


def test_a_folder_that_is_copied_while_its_server_is_stopped_is_a_backup(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        server.client("s3").create_bucket(Bucket=BUCKET)
        server.client("s3").put_object(Bucket=BUCKET, Key="k", Body=b"v")
    shutil.copytree(tmp_path / "data", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    assert kenja("backup", "--data", str(tmp_path / "data"), str(tmp_path / "made"))[0] == 0
    assert kenja("restore", "--data", str(tmp_path / "restored"), str(tmp_path / "made"))[0] == 0
    for name in ("copy", "restored"):
        with serving(tmp_path / name) as server:
            assert server.client("s3").get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"v"


def test_what_can_not_be_backed_up_or_restored_is_told(server: RunningServer, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    refusals = [
        kenja("backup", "--data", str(tmp_path / "nothing"), str(target)),
        kenja("backup", "--data", str(server.data), str(tmp_path)),
        kenja("backup", "--data", str(server.data), "--database-url", "postgresql+psycopg://h/d", str(target)),
        kenja("restore", "--data", str(server.data), str(target)),
        kenja("restore", "--data", str(tmp_path / "new"), str(tmp_path / "nothing")),
    ]
    sentences = ["is no data folder of Kenja", "is there already", "run pg_dump", "is not empty", "can not be restored"]
    for (code, said), sentence in zip(refusals, sentences, strict=True):
        assert code == 1
        assert sentence in said
        assert "Traceback" not in said
    assert not target.exists()
    assert not (tmp_path / "new").exists()


def test_a_backup_that_lost_something_is_refused(server: RunningServer, tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert kenja("backup", "--data", str(server.data), str(made))[0] == 0
    with sqlite3.connect(made / "objects" / "index.db") as index:
        ((blob,),) = index.execute("SELECT blob FROM object WHERE blob NOT IN (SELECT blob FROM small_blob) LIMIT 1")
    index.close()
    shutil.copytree(made, tmp_path / "emptied")
    with sqlite3.connect(tmp_path / "emptied" / "objects" / "index.db") as index:
        assert index.execute("DELETE FROM small_blob").rowcount
    index.close()
    shutil.copytree(made, tmp_path / "unfinished")
    (tmp_path / "unfinished" / MANIFEST).unlink()
    (made / "objects" / "blobs" / blob[:2] / blob).unlink()
    for name, sentence in (
        ("made", "have no bytes"),
        ("emptied", "have no bytes"),
        ("unfinished", "no backup that `kenja backup` has finished"),
    ):
        code, said = kenja("restore", "--data", str(tmp_path / "new"), str(tmp_path / name))
        assert code == 1
        assert sentence in said
        assert not (tmp_path / "new").exists()
