"""Disks that are full or read-only, damaged folders, a database that another process holds: told in a sentence, and survived."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import RunningServer, serving, wait_until
from tests.services.sagemaker import training_jobs

FULL, READ_ONLY = "is full; free some space", "can not be written to"
SIZE = 48  # MiB of the small disk
pytestmark = pytest.mark.slow
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can mount the small file system that is filled here"
)


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with SIZE MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SIZE}m", "kenja-test", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def filled(folder: Path) -> Path:
    """A file that takes all that is left of the disk."""
    path = folder / "filler"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 20, 4096):
        with contextlib.suppress(OSError):
            while True:
                os.write(descriptor, b"\0" * size)
    os.close(descriptor)
    return path


def refused(call: Any, **request: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


@needs_root
def test_a_full_disk_refuses_writes_keeps_what_was_acknowledged_and_is_over_when_there_is_space(disk: Path) -> None:
    with serving(disk / "data") as server:
        s3, sagemaker = server.client("s3"), server.client("sagemaker")
        s3.create_bucket(Bucket="full-disk")
        s3.put_object(Bucket="full-disk", Key="train/train.csv", Body=training_jobs.table())
        kept: dict[str, bytes] = {}
        wait_until(
            (server.data / "run" / "reconciler.sock").exists
        )  # it has begun; the test below is about one that has not
        children = server.children()
        filler = filled(disk)
        for number in range(40):  # the databases may have a few free pages left: in the end nothing goes in
            body = os.urandom(300_000)
            try:
                s3.put_object(Bucket="full-disk", Key=f"k{number}", Body=body)
            except ClientError:
                continue
            kept[f"k{number}"] = body
        status, code, message = refused(s3.put_object, Bucket="full-disk", Key="more", Body=b"x" * 300_000)
        assert (status, code) == (503, "ServiceUnavailable")
        assert FULL in message
        for key, body in kept.items():
            assert s3.get_object(Bucket="full-disk", Key=key)["Body"].read() == body
        assert b"," in s3.get_object(Bucket="full-disk", Key="train/train.csv")["Body"].read()
        try:
            sagemaker.create_training_job(**training_jobs.request("full", server.keys.account, "full-disk"))
            created = True
        except ClientError as error:
            assert FULL in str(error)
            created = False
        filler.unlink()
        s3.put_object(Bucket="full-disk", Key="after", Body=b"space")
        if created:
            assert training_jobs.wait(sagemaker, "full", 90)["TrainingJobStatus"] in ("Completed", "Failed")
        sagemaker.create_training_job(**training_jobs.request("after", server.keys.account, "full-disk"))
        assert training_jobs.wait(sagemaker, "after", 90)["TrainingJobStatus"] == "Completed"
        assert server.children() == children, "neither gateway nor reconciler ended"


@needs_root
def test_a_job_whose_inputs_do_not_fit_on_the_disk_fails_and_says_why(disk: Path) -> None:
    with serving(disk / "data", "--rung", "none") as server:  # where inputs are copies, not links
        s3, sagemaker = server.client("s3"), server.client("sagemaker")
        s3.create_bucket(Bucket="too-large")
        s3.put_object(Bucket="too-large", Key="train/train.csv", Body=b"1,2\n" * (SIZE << 20 >> 4))
        filler = filled(disk)
        os.truncate(filler, filler.stat().st_size - (4 << 20))  # enough for rows and logs, not for the input
        sagemaker.create_training_job(**training_jobs.request("copies", server.keys.account, "too-large"))
        job = training_jobs.wait(sagemaker, "copies", 90)
        assert job["TrainingJobStatus"] == "Failed"
        assert FULL in job["FailureReason"] or "No space left on device" in job["FailureReason"], job["FailureReason"]


@needs_root
def test_a_disk_that_becomes_read_only_is_told_and_reads_go_on(disk: Path) -> None:
    with serving(disk / "data") as server:
        s3 = server.client("s3")
        s3.create_bucket(Bucket="read-only")
        s3.put_object(Bucket="read-only", Key="k", Body=b"before")
        children = server.children()
        subprocess.run(["mount", "-o", "remount,ro,force", disk], check=False, capture_output=True)
        if (
            not os.statvfs(disk).f_flag & os.ST_RDONLY
        ):  # files are open for writing: the kernel lets nobody but the disk do it
            pytest.skip("this kernel does not remount a file system in use read-only")
        status, code, message = refused(s3.put_object, Bucket="read-only", Key="k", Body=b"after")
        assert (status, code) == (503, "ServiceUnavailable")
        assert READ_ONLY in message
        assert s3.get_object(Bucket="read-only", Key="k")["Body"].read() == b"before"
        mount("-o", "remount,rw", str(disk))
        s3.put_object(Bucket="read-only", Key="k", Body=b"after")
        assert server.children() == children


def starts(data: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "kenja", "serve", "--port", "0", "--data", str(data)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@needs_root
def test_a_server_on_a_read_only_folder_ends_and_says_why(disk: Path) -> None:
    with serving(disk / "data"):
        pass
    mount("-o", "remount,ro", str(disk))
    code, said = starts(disk / "data")
    assert code == 1
    assert said == (
        f"kenja serve: can not write to the data folder {disk / 'data'}: Read-only file system; "
        "make it writable or choose another folder with --data.\n"
    )
    code, said = starts(disk / "new")
    assert code == 1
    assert "can not write to the data folder" in said
    assert "Traceback" not in said


@needs_root
def test_a_server_on_a_full_disk_ends_and_says_why(disk: Path) -> None:
    filled(disk)
    code, said = starts(disk / "data")
    assert code == 1
    assert "Traceback" not in said
    assert "No space left on device" in said or FULL in said


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    code, said = starts(tmp_path / "data")
    assert code == 1
    assert "can not write to the data folder" in said


def test_a_database_that_is_no_database_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data):
        pass
    (data / "kenja.db").write_bytes(b"no database at all, but a long text" * 1000)
    code, said = starts(data)
    assert code == 1
    assert "Traceback" not in said
    assert "is damaged" in said


def test_a_database_that_another_program_holds_delays_writes_and_loses_none(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        iam = server.client("iam", read_timeout=90)
        trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role = {
            "RoleName": "r",
            "AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        }
        before = [found["RoleName"] for found in iam.list_roles()["Roles"]]  # a folder's first request writes a secret
        with sqlite3.connect(server.data / "kenja.db", isolation_level=None) as holder:
            holder.execute("BEGIN IMMEDIATE")
            iam.list_roles()  # reading goes on
            status, code, message = refused(iam.create_role, **role)
            assert (status, code) == (503, "ServiceUnavailable")
            assert "locked by another process" in message
            holder.execute("ROLLBACK")
        holder.close()
        iam.create_role(**role)
        assert sorted(found["RoleName"] for found in iam.list_roles()["Roles"]) == sorted([*before, "r"])


BROKEN = {  # file of a running job's folder -> what is written into it
    "status.json": b"{",
    "pid": b"",
    "spec.json": b"\0\xff",
}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(tmp_path_factory.mktemp("damaged") / "data") as server:
        server.client("s3").create_bucket(Bucket="damaged")
        server.client("s3").put_object(Bucket="damaged", Key="train/train.csv", Body=training_jobs.table())
        yield server


@pytest.mark.parametrize("file", BROKEN)
def test_a_damaged_job_folder_costs_its_own_job_only(damaged: RunningServer, file: str) -> None:
    s3, sagemaker = damaged.client("s3"), damaged.client("sagemaker")
    source = training_jobs.source(train__py="import time\nprint('ready', flush=True)\ntime.sleep(5)")
    s3.put_object(Bucket="damaged", Key="code/sourcedir.tar.gz", Body=source)
    name = f"broken-{file.replace('.', '-')}-{uuid.uuid4().hex[:6]}"
    parameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://damaged/code/sourcedir.tar.gz"}
    specification = {"TrainingImage": training_jobs.SKLEARN, "TrainingInputMode": "File"}
    account = damaged.keys.account
    sagemaker.create_training_job(**training_jobs.request(
        name, account, "damaged", AlgorithmSpecification=specification, HyperParameters=parameters
    ))  # fmt: skip

    def folder() -> Path | None:
        for spec in (damaged.data / "jobs").glob("*/spec.json"):
            try:
                if json.loads(spec.read_bytes())["name"] == name and "ready" in training_jobs.log(
                    damaged.client("logs"), name
                ):
                    return spec.parent
            except (ValueError, FileNotFoundError, ClientError):
                continue
        return None

    place = wait_until(folder, 60)
    (place / file).write_bytes(BROKEN[file])
    job = training_jobs.wait(sagemaker, name, 90)
    assert job["TrainingJobStatus"] in ("Failed", "Completed")
    assert job["TrainingJobStatus"] == "Completed" or job["FailureReason"].startswith("InternalServerError: ")
    sagemaker.create_training_job(**training_jobs.request(f"{name}-next", account, "damaged"))
    assert training_jobs.wait(sagemaker, f"{name}-next", 90)["TrainingJobStatus"] == "Completed"
    wait_until(lambda: not list((damaged.data / "jobs").iterdir()), 30)


@needs_root
def test_a_reconciler_that_dies_while_the_disk_is_full_does_not_end_the_server(disk: Path) -> None:
    """Also right after the start, when a process may still be opening what it stands on."""
    with serving(disk / "data") as server:
        sts = server.client("sts")
        assert (
            sts.get_caller_identity()["Account"] == server.keys.account
        )  # the first call of a folder writes its secret
        for _ in range(3):
            filler = filled(disk)
            dead = wait_until(lambda: server.children().get("reconciler"))
            os.kill(dead, signal.SIGKILL)
            wait_until(lambda dead=dead: server.children().get("reconciler", dead) != dead, 30)
            time.sleep(2)  # seconds; until a start on the full disk has failed
            assert sts.get_caller_identity()["Account"] == server.keys.account
            filler.unlink()
        wait_until(lambda: "reconciler" in server.children(), 30)
        sagemaker, s3 = server.client("sagemaker"), server.client("s3")
        s3.create_bucket(Bucket="space-again")
        s3.put_object(Bucket="space-again", Key="train/train.csv", Body=training_jobs.table())
        sagemaker.create_training_job(**training_jobs.request("goes-on", server.keys.account, "space-again"))
        assert training_jobs.wait(sagemaker, "goes-on", 90)["TrainingJobStatus"] == "Completed"
