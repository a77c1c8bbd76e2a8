"""Writers that are killed at any moment: what they acknowledged is whole, what they left is swept."""

from __future__ import annotations

import hashlib
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from kenja.core.clock import Clock
from kenja.kernel.objects import ENABLED, SUSPENDED, ObjectStore

ME = "111111111111"
WRITER = """
import os, sys
from pathlib import Path
from kenja.core.clock import Clock
from kenja.kernel.objects import Claim, ObjectStore, Removal

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
        with store.receive_file(data) as draft:
            part = store.uploads.put_part(upload, 1, draft)
        store.uploads.complete("111111111111", upload, [Claim(1, part.etag)])
    print(key, number, flush=True)
    if number % 7 == 0:  # the oldest version of some key goes; without versions, one key that is not looked at
        found = store.list_versions("111111111111", "bucket", prefix=key).rows
        rows = [row for row in found if row.key.decode() == key]
        version = rows[-1].version if len(rows) > 1 else None
        store.delete("111111111111", "bucket", Removal(key if version else "gone", version))
"""


@pytest.mark.crash
@pytest.mark.parametrize("versioning", ["", ENABLED, SUSPENDED])
def test_killed_writers_lose_nothing_that_they_acknowledged(tmp_path: Path, versioning: str) -> None:
    folder, url = tmp_path / "objects", f"sqlite:///{tmp_path / 'index.db'}"
    store = ObjectStore(folder, url, Clock())
    store.create_bucket(ME, "us-east-1", "bucket")
    store.configure(ME, "bucket", lambda bucket: replace(bucket, versioning=versioning))
    chance = random.Random(4)
    with store.receive(b"old") as draft:
        store.put(ME, "bucket", "twice", draft)
    with store.receive(b"new") as draft:
        store.put(ME, "bucket", "twice", draft)
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
    versions = [row for row in store.list_versions(ME, "bucket", limit=100_000).rows if not row.marker]
    assert (len(versions) > len(store.list(ME, "bucket").rows)) == (versioning == ENABLED)
    kept = {store.head(ME, "bucket", row.key.decode(), row.version).blob for row in versions}
    parts = {
        part.blob
        for row in store.uploads.list(ME, "bucket").rows
        for part in store.uploads.parts(store.uploads.find(ME, "bucket", row.key.decode(), row.id))
    }
    with closing(sqlite3.connect(tmp_path / "index.db")) as index:
        inside = {blob for (blob,) in index.execute("SELECT blob FROM small_blob")}
    assert inside, "no write was small"
    assert kept - inside, "all writes were small"
    assert inside <= kept
    assert {path.name for path in (folder / "blobs").glob("*/*")} == (kept | parts) - inside
    assert list((folder / "incoming").iterdir()) == []
    for row in versions:
        assert len(store.read(store.head(ME, "bucket", row.key.decode(), row.version))) == row.size
    store.close()
