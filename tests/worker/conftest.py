"""Fixtures of the worker's tests: a data folder and a job folder in it, ended and removed with the test."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.shim_jobs import Job


@pytest.fixture
def data_folder() -> Iterator[Path]:
    """A stand-in for DATA, closed to others as the real one is."""
    folder = Path(tempfile.mkdtemp(prefix="kenja-data-"))
    (folder / "objects").mkdir()
    (folder / "kenja.db").write_text("SECRET-ROW")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def job(data_folder: Path) -> Iterator[Job]:
    folder = data_folder / "jobs" / f"job-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    job = Job(folder)
    yield job
    if job.process is not None and job.process.poll() is None:
        os.kill(job.process.pid, signal.SIGKILL)
        job.process.wait()
