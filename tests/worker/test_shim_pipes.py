"""Pipe mode at the shim: a FIFO for every epoch, readers that close early, compression, wrapping, shuffling, broken data."""

from __future__ import annotations

import gzip
import json
import random
import struct
import time
from typing import Any

import pytest

from kenja_worker.shim import processes
from tests.worker.shim_jobs import Job, rungs

MAGIC = 0xCED7230A
READ = """
import hashlib, os, sys
base = os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml") + "/input/data/"
for epoch in range(3):
    with open(f"{base}train_{epoch}", "rb") as pipe:
        data = pipe.read(4) if epoch == 1 else pipe.read()
    print(epoch, len(data), data[:12].hex(), hashlib.sha256(data).hexdigest()[:8], flush=True)
"""


def pipe(job: Job, *files: bytes, **options: Any) -> dict[str, Any]:
    """The spec's member for a channel of these files."""
    folder = job.folder / "channel"
    folder.mkdir()
    records = []
    for number, data in enumerate(files):
        (folder / str(number)).write_bytes(data)
        records.append([{"file": str(folder / str(number))}])
    plan = job.folder / "plan.json"
    plan.write_text(json.dumps({"records": records, **options}))
    return {"pipes": [{"channel": "train", "plan": str(plan)}]}


def said(job: Job) -> list[list[str]]:
    return [line.split() for line in job.lines() if not line.startswith("[kenja]")]


@pytest.mark.parametrize("rung", [*rungs(), "none"])
def test_every_epoch_has_a_pipe_and_a_reader_may_close_early(job: Job, rung: str) -> None:
    data = random.Random(1).randbytes(3_000_000)
    status = job.run(READ, **pipe(job, data[:1000], data[1000:]), rung=rung)
    assert status["exit_code"] == 0, status
    first, second, third = said(job)
    assert first[1:] == ["3000000", data[:12].hex(), third[3]]
    assert second[1:3] == ["4", data[:4].hex()]
    assert third[1] == "3000000"


def test_gzip_is_unpacked_and_objects_are_wrapped(job: Job) -> None:
    status = job.run(
        READ, **pipe(job, gzip.compress(b"abcde"), gzip.compress(b"f"), gzip=True, recordio=True), rung="none"
    )
    assert status["exit_code"] == 0, status
    expected = struct.pack("<II", MAGIC, 5) + b"abcde" + bytes(3) + struct.pack("<II", MAGIC, 1) + b"f" + bytes(3)
    assert said(job)[0][1:3] == [str(len(expected)), expected[:12].hex()]


def test_a_seed_shuffles_every_epoch_anew(job: Job) -> None:
    script = READ.replace("pipe.read(4) if epoch == 1 else ", "").replace("data[:12].hex()", "data.decode()")
    status = job.run(script, **pipe(job, *(b"%c" % letter for letter in b"abcdefghijklmnop"), seed=3), rung="none")
    assert status["exit_code"] == 0, status
    orders = [line[2] for line in said(job)]
    assert {"".join(sorted(order)) for order in orders} == {"abcdefghijklmnop"}
    assert len({*orders, "abcdefghijklmnop"}) == 4


def test_broken_data_fails_the_job_although_its_program_saw_only_the_end(job: Job) -> None:
    broken = gzip.compress(random.Random(2).randbytes(500_000))[:300_000]
    script = READ.replace("range(3)", "range(1)")
    status = job.run(script, **pipe(job, broken, gzip=True), rung="none")
    assert status["exit_code"] == 1
    assert status["failure"].startswith("ClientError: channel 'train': CompressionType is Gzip, and 0 is not in order")


def test_feeders_end_with_the_job_and_with_the_shim(job: Job) -> None:
    job.write("import time; print('up', flush=True); time.sleep(60)", **pipe(job, b"x"), rung="none")
    job.start()
    job.await_line("up")
    assert job.process is not None
    feeding = processes.descendants(job.process.pid)
    assert len(feeding) >= 2
    identities = [processes.identity(pid) for pid in feeding]
    job.process.kill()
    job.process.wait()
    deadline = time.monotonic() + 15
    while any(map(processes.is_alive, identities)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for identity in identities:
        assert not processes.is_alive(identity)
