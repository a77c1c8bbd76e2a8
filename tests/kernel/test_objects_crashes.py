"""Writers that are killed at any moment: what they acknowledged is whole, what they left is swept."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kenja.core.clock import Clock
from kenja.kernel.objects import ObjectStore

ME = "111111111111"
WRITER = """
import os, sys
from pathlib import Path
from kenja.core.clock import Clock
from kenja.kernel.objects import Claim, ObjectStore

folder, url, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = ObjectStore(folder, url, Clock())
number = 0
while True:
    number += 1
    key = f"{seed}/{number % 40}"
    data = f"{seed} {number} ".encode() * (number * 37 % 3000)
    if number % 5:
        with store.receive(data) as draft:
            store.put("111111111111", "bucket", key, draft)
    else:
        upload = store.uploads.create("111111111111", "bucket", key, initiator="")
        with store.receive(data) as draft:
            part = store.uploads.put_part(upload, 1, draft)
        store.uploads.complete("111111111111", upload, [Claim(1, part.etag)])
    print(key, number, flush=True)
"""


@pytest.mark.crash
def test_killed_writers_lose_nothing_that_they_acknowledged(tmp_path: Path) -> None:
    folder, url = tmp_path / "objects", f"sqlite:///{tmp_path / 'index.db'}"
    store = ObjectStore(folder, url, Clock())
    store.create_bucket(ME, "us-east-1", "bucket")
    chance = random.Random(4)
    for seed in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), url, str(seed)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        acknowledged = dict(line.split() for line in [first, *process.stdout] if line.endswith("\n"))
        process.stdout.close()
        process.wait()
        for key, number in acknowledged.items():
            info = store.head(ME, "bucket", key)
            data = store.read(info)
            assert len(data) == info.size
            written = int(data.split(maxsplit=2)[1]) if data else int(number)
            assert written >= int(number), "an older write came back"
            if not info.upload:
                assert hashlib.md5(data).hexdigest() == info.etag
    store.sweeper.released(grace=-1)
    store.sweeper.orphans(age=-1)
    kept = {store.head(ME, "bucket", row.key.decode()).blob for row in store.list(ME, "bucket").rows}
    parts = {
        part.blob
        for row in store.uploads.list(ME, "bucket").rows
        for part in store.uploads.parts(store.uploads.find(ME, "bucket", row.key.decode(), row.id))
    }
    assert {path.name for path in (folder / "blobs").glob("*/*")} == kept | parts
    assert list((folder / "incoming").iterdir()) == []
    for row in store.list(ME, "bucket").rows:
        assert len(store.read(store.head(ME, "bucket", row.key.decode()))) == row.size
    store.close()
