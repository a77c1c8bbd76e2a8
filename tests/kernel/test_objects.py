"""The object store, on both databases: what is acknowledged is there, what is not leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kenja.core.clock import Clock
from kenja.kernel.objects import (
    Attributes,
    Checksum,
    Claim,
    ObjectInfo,
    ObjectStore,
    Removal,
    errors,
    small,
    whole_checksum,
)
from kenja.kernel.objects.sweeping import ORPHAN_AGE, Sweeper

ME, YOU = "111111111111", "222222222222"
REGION = "us-east-1"
MEBIBYTE = 1024 * 1024
FILLER = bytes(small.LIMIT)  # what follows it makes a body that gets a file


@pytest.fixture
def store(tmp_path: Path, database_url: str) -> Iterator[ObjectStore]:
    opened = ObjectStore(tmp_path / "objects", database_url, Clock())
    opened.create_bucket(ME, REGION, "bucket")
    yield opened
    opened.close()


def put(store: ObjectStore, key: str, data: bytes = b"x", **options: Any) -> ObjectInfo:
    with store.receive(data) as draft:
        return store.put(ME, "bucket", key, draft, **options)


def get(store: ObjectStore, key: str) -> bytes:
    return store.read(store.head(ME, "bucket", key))


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "objects").rglob("*") if path.is_file() and ".db" not in path.name]


def keys_of(page: Any) -> list[str]:
    return [row.key.decode() for row in page.rows]


def test_what_is_put_is_read_with_its_attributes(store: ObjectStore) -> None:
    described = Attributes({"ContentType": "text/plain"}, {"colour": "blue"}, "STANDARD_IA")
    checksum = Checksum("CRC32", "FULL_OBJECT", "AAAAAA==")
    written = put(store, "a", b"hello", attributes=described, checksum=checksum)
    found = store.head(ME, "bucket", "a")
    assert found == written
    assert (found.attributes, found.checksum, found.size) == (described, checksum, 5)
    assert found.etag == hashlib.md5(b"hello").hexdigest()
    assert store.read(found) == b"hello"
    assert store.read(found, 1, 3) == b"ell"


def test_blob_files_are_read_only(store: ObjectStore) -> None:
    info = put(store, "a")
    assert store.path(info).stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize(
    "key",
    ["a/b", "a", "a//b", "/", " ", "é\u4e2d\U0001f600", "x" * 1024, "\x01\n\r%00", "..", "../../etc/passwd", "\x00"],
)
def test_any_key_can_be_stored(store: ObjectStore, key: str) -> None:
    put(store, "a", b"other")
    put(store, key, key.encode())
    assert get(store, key) == key.encode()
    assert key in keys_of(store.list(ME, "bucket"))


def test_keys_are_listed_in_the_order_of_their_bytes(store: ObjectStore) -> None:
    keys = ["b", "B", "a", "é", "\uffff", "\U0001f600", "a/b", "a-b", "_"]
    for key in keys:
        put(store, key)
    assert keys_of(store.list(ME, "bucket")) == sorted(keys, key=lambda key: key.encode())


def test_bucket_names_are_unique_over_accounts_and_regions(store: ObjectStore) -> None:
    with pytest.raises(errors.BucketExists) as taken:
        store.create_bucket(YOU, "eu-west-1", "bucket")
    assert not taken.value.mine
    with pytest.raises(errors.BucketExists) as again:
        store.create_bucket(ME, "eu-west-1", "bucket")
    assert again.value.mine


def test_a_bucket_of_another_account_is_closed(store: ObjectStore) -> None:
    put(store, "a")
    for attempt in (
        lambda: store.bucket(YOU, "bucket"),
        lambda: store.head(YOU, "bucket", "a"),
        lambda: store.list(YOU, "bucket"),
        lambda: store.delete(YOU, "bucket", Removal("a")),
        lambda: store.delete_bucket(YOU, "bucket"),
        lambda: store.uploads.create(YOU, "bucket", "a", initiator=""),
    ):
        with pytest.raises(errors.ForeignBucket):
            attempt()
    with store.receive(b"mine") as draft, pytest.raises(errors.ForeignBucket):
        store.put(YOU, "bucket", "a", draft)
    assert get(store, "a") == b"x"


def test_a_missing_bucket_and_a_missing_key_are_told_apart(store: ObjectStore) -> None:
    with pytest.raises(errors.NoSuchBucket):
        store.head(ME, "nowhere", "a")
    with pytest.raises(errors.NoSuchKey):
        store.head(ME, "bucket", "a")


def test_a_bucket_with_objects_is_not_deleted_but_one_with_uploads_is(store: ObjectStore, tmp_path: Path) -> None:
    put(store, "a")
    with pytest.raises(errors.BucketNotEmpty):
        store.delete_bucket(ME, "bucket")
    store.delete(ME, "bucket", Removal("a"))
    upload = store.uploads.create(ME, "bucket", "b", initiator="")
    with store.receive_file(b"part") as draft:
        store.uploads.put_part(upload, 1, draft)
    store.delete_bucket(ME, "bucket")
    with pytest.raises(errors.NoSuchBucket):
        store.bucket(ME, "bucket")
    store.sweeper.released(grace=-1)
    assert files(tmp_path) == []


def test_a_refused_write_leaves_no_file(store: ObjectStore, tmp_path: Path) -> None:
    with store.receive(b"data") as draft, pytest.raises(errors.NoSuchBucket):
        store.put(ME, "nowhere", "a", draft)

    def never(present: ObjectInfo | None) -> None:
        raise errors.PreconditionFailed("If-Match")

    with pytest.raises(errors.PreconditionFailed):
        put(store, "a", condition=never)
    with pytest.raises(RuntimeError), store.receive(b"data"):
        raise RuntimeError
    assert files(tmp_path) == []


@pytest.mark.parametrize("before", [b"", FILLER], ids=["in the database", "in a file"])
def test_an_overwritten_blob_stays_for_its_readers_and_goes_after_the_grace(
    store: ObjectStore, tmp_path: Path, before: bytes
) -> None:
    old = put(store, "a", before + b"old")
    put(store, "a", before + b"new")
    path = store.path(old)
    assert store.read(old) == path.read_bytes() == before + b"old"
    assert store.sweeper.released() == 0
    assert store.sweeper.released(grace=-1) == 1
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        store.read(old)
    assert get(store, "a") == before + b"new"


def test_a_small_object_has_a_file_only_for_whoever_needs_a_path(store: ObjectStore, tmp_path: Path) -> None:
    info, large = put(store, "a", b"0123456789"), put(store, "b", FILLER + b"1")
    assert [path.name for path in files(tmp_path)] == [large.blob]
    assert (store.read(info), store.read(info, 2, 3), store.read(info, 8)) == (b"0123456789", b"234", b"89")
    path = store.path(info)
    assert path.read_bytes() == b"0123456789"
    assert path.stat().st_mode & 0o777 == 0o444
    inode = path.stat().st_ino
    assert store.path(info).stat().st_ino == inode
    assert store.sweeper.orphans(age=-1) == 0
    assert path.exists()
    store.delete(ME, "bucket", Removal("a"))
    assert store.sweeper.released(grace=-1) == 1
    assert [path.name for path in files(tmp_path)] == [large.blob]


def test_a_small_object_can_be_copied_and_excerpted(store: ObjectStore) -> None:
    info = put(store, "a", b"0123456789")
    with store.copy(info, ["CRC32"]) as draft:
        store.put(ME, "bucket", "b", draft)
    upload = store.uploads.create(ME, "bucket", "c", initiator="arn")
    with store.excerpt(info, 2, 5) as part:
        etag = store.uploads.put_part(upload, 1, part).etag
    store.uploads.complete(ME, upload, [Claim(1, etag)])
    store.delete(ME, "bucket", Removal("a"))
    store.sweeper.released(grace=-1)
    assert get(store, "b") == b"0123456789"
    assert get(store, "c") == b"23456"


def test_a_blob_without_a_row_is_swept_by_age_and_no_other(store: ObjectStore, tmp_path: Path) -> None:
    put(store, "kept", FILLER + b"kept")
    upload = store.uploads.create(ME, "bucket", "b", initiator="")
    with store.receive_file(b"part") as draft:
        store.uploads.put_part(upload, 1, draft)
    with store.receive_file(b"placed, then the process died") as lost:
        lost.place()
        lost.keep()
    assert store.sweeper.orphans() == 0
    assert len(files(tmp_path)) == 3
    assert store.sweeper.orphans(age=-1) == 1
    assert get(store, "kept") == FILLER + b"kept"
    assert [part.size for part in store.uploads.parts(upload)] == [4]


def test_a_live_upload_is_never_swept(store: ObjectStore, tmp_path: Path) -> None:
    class Slow:
        def __init__(self) -> None:
            self.left = 3

        def read(self, n: int = -1, /) -> bytes:
            self.left -= 1
            store.sweeper.orphans(age=-1)
            return b"piece" if self.left else b""

    with store.receive(Slow()) as draft:
        store.put(ME, "bucket", "slow", draft)
    assert get(store, "slow") == b"piecepiece"
    (store.incoming_folder / "abandoned").write_bytes(b"the server died here")
    assert store.sweeper.orphans(age=-1) == 1
    assert len(files(tmp_path)) == 1


def test_a_spooled_body_is_taken_over_without_a_copy(store: ObjectStore) -> None:
    path = store.incoming_folder / "spooled"
    path.write_bytes(b"large" * 1000)
    inode = path.stat().st_ino

    class Spooled:
        def __init__(self) -> None:
            self.path = path
            self.size = 5000
            self.digests = {"md5": hashlib.md5(b"large" * 1000).hexdigest()}

        def read(self, n: int = -1, /) -> bytes:
            raise AssertionError("it is not read")

    with store.receive(Spooled(), ["SHA256"]) as draft:
        info = store.put(ME, "bucket", "a", draft)
        assert draft.digests["SHA256"] == hashlib.sha256(b"large" * 1000).digest()
    assert store.path(info).stat().st_ino == inode
    assert not path.exists()


def test_a_copy_shares_the_bytes_and_outlives_its_source(store: ObjectStore) -> None:
    source = put(store, "a", FILLER + b"shared")
    with store.copy(source) as draft:
        copied = store.put(ME, "bucket", "b", draft)
    assert store.path(source).samefile(store.path(copied))
    assert copied.etag == source.etag
    store.delete(ME, "bucket", Removal("a"))
    store.sweeper.released(grace=-1)
    assert get(store, "b") == FILLER + b"shared"


@pytest.mark.parametrize("before", [b"", FILLER], ids=["in the database", "in a file"])
def test_a_link_for_a_job_outlives_the_object(store: ObjectStore, tmp_path: Path, before: bytes) -> None:
    put(store, "a", before + b"training data")
    kept = len(files(tmp_path))
    link, copied = tmp_path / "link", tmp_path / "copy"
    info = store.link(ME, "bucket", "a", link)
    store.link(ME, "bucket", "a", copied, own_bytes=True)
    assert len(files(tmp_path)) == kept == int(bool(before))
    assert link.samefile(store.path(info)) == bool(before)
    assert copied.stat().st_ino != link.stat().st_ino
    assert link.stat().st_mode & 0o777 == copied.stat().st_mode & 0o777 == 0o444
    store.delete(ME, "bucket", Removal("a"))
    store.sweeper.released(grace=-1)
    assert link.read_bytes() == copied.read_bytes() == before + b"training data"


def test_of_concurrent_conditional_writers_one_wins(store: ObjectStore) -> None:
    def absent(present: ObjectInfo | None) -> None:
        if present is not None:
            raise errors.PreconditionFailed("If-None-Match")

    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            put(store, "one", str(number).encode(), condition=absent)
            outcomes.append("written")
        except errors.PreconditionFailed:
            outcomes.append("refused")

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 7 + ["written"]


def test_concurrent_writers_of_one_key_leave_one_whole_object(store: ObjectStore, tmp_path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(5):
            put(store, "one", bytes([number]) * 20_000)

    threads = [threading.Thread(target=write, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = get(store, "one")
    assert len(data) == 20_000
    assert len(set(data)) == 1
    store.sweeper.released(grace=-1)
    assert len(files(tmp_path)) == 1


def test_parts_become_one_object_and_are_gone(store: ObjectStore, tmp_path: Path) -> None:
    upload = store.uploads.create(ME, "bucket", "big", initiator="arn", attributes=Attributes({"ContentType": "a/b"}), checksum=Checksum("CRC32", "FULL_OBJECT"))  # fmt: skip
    pieces = {3: os.urandom(1000), 1: os.urandom(5 * MEBIBYTE), 2: os.urandom(5 * MEBIBYTE + 1)}
    for number, piece in pieces.items():
        with store.receive_file(piece, ["CRC32"]) as draft:
            store.uploads.put_part(upload, number, draft)
    parts = store.uploads.parts(upload)
    claims = [Claim(part.number, part.etag) for part in parts]
    info = store.uploads.complete(ME, upload, claims, value=whole_checksum(upload, parts))
    whole = pieces[1] + pieces[2] + pieces[3]
    assert store.read(info) == whole
    assert store.head(ME, "bucket", "big") == info
    tags = b"".join(hashlib.md5(pieces[number]).digest() for number in (1, 2, 3))
    assert info.etag == hashlib.md5(tags).hexdigest() + "-3"
    assert info.attributes.headers == {"ContentType": "a/b"}
    with store.receive(whole, ["CRC32"]) as draft:
        from kenja.kernel.objects import checksums

        assert info.checksum == Checksum("CRC32", "FULL_OBJECT", checksums.encoded(draft.digests, "CRC32"))
    store.sweeper.released(grace=-1)
    assert len(files(tmp_path)) == 1
    with pytest.raises(errors.NoSuchUpload):
        store.uploads.find(ME, "bucket", "big", upload.id)


def test_wrong_parts_are_refused_and_the_upload_stays(store: ObjectStore) -> None:
    upload = store.uploads.create(ME, "bucket", "big", initiator="arn")
    tags = []
    for number in (1, 2):
        with store.receive_file(b"small") as draft:
            tags.append(store.uploads.put_part(upload, number, draft).etag)
    with pytest.raises(errors.InvalidPart):
        store.uploads.complete(ME, upload, [Claim(1, "0" * 32)])
    with pytest.raises(errors.InvalidPart):
        store.uploads.complete(ME, upload, [Claim(3, tags[0])])
    with pytest.raises(errors.PartTooSmall) as small:
        store.uploads.complete(ME, upload, [Claim(1, tags[0]), Claim(2, tags[1])])
    assert small.value.number == 1
    assert store.uploads.complete(ME, upload, [Claim(2, tags[1])]).size == 5


def test_a_part_that_is_sent_again_replaces_the_first(store: ObjectStore, tmp_path: Path) -> None:
    upload = store.uploads.create(ME, "bucket", "big", initiator="arn")
    for data in (b"first", b"second"):
        with store.receive_file(data) as draft:
            part = store.uploads.put_part(upload, 1, draft)
    assert store.read(store.uploads.complete(ME, upload, [Claim(1, part.etag)])) == b"second"
    store.sweeper.released(grace=-1)
    assert len(files(tmp_path)) == 1


def test_an_aborted_upload_frees_its_parts(store: ObjectStore, tmp_path: Path) -> None:
    upload = store.uploads.create(ME, "bucket", "big", initiator="arn")
    with store.receive_file(b"data") as draft:
        store.uploads.put_part(upload, 1, draft)
    store.uploads.abort(upload)
    store.sweeper.released(grace=-1)
    assert files(tmp_path) == []
    with pytest.raises(errors.NoSuchUpload), store.receive_file(b"late") as draft:
        store.uploads.put_part(upload, 2, draft)
    assert files(tmp_path) == []
    with pytest.raises(errors.NoSuchUpload):
        store.uploads.abort(upload)


def test_a_store_that_is_opened_again_has_everything(store: ObjectStore, tmp_path: Path, database_url: str) -> None:
    put(store, "a", b"kept")
    second = ObjectStore(tmp_path / "objects", database_url, Clock())
    assert second.read(second.head(ME, "bucket", "a")) == b"kept"
    second.close()


def test_tending_removes_what_is_old_and_nothing_else(store: ObjectStore, tmp_path: Path) -> None:
    class Later(Clock):
        def wall(self) -> float:
            return super().wall() + 2 * ORPHAN_AGE

    put(store, "a", FILLER + b"old")
    put(store, "a", FILLER + b"new")
    with store.receive_file(b"placed, then the process died") as lost:
        lost.place()
        lost.keep()
    store.tend()
    assert len(files(tmp_path)) == 3
    sweeper = Sweeper(store._database, store._blobs, Later())
    for _ in range(300):
        sweeper.tend()
    assert len(files(tmp_path)) == 1
    assert get(store, "a") == FILLER + b"new"


def test_emptying_an_account_leaves_the_others(store: ObjectStore, tmp_path: Path) -> None:
    store.create_bucket(YOU, REGION, "yours")
    with store.receive(FILLER + b"yours") as draft:
        store.put(YOU, "yours", "a", draft)
    put(store, "a")
    upload = store.uploads.create(ME, "bucket", "b", initiator="")
    with store.receive_file(b"part") as draft:
        store.uploads.put_part(upload, 1, draft)
    store.empty(ME)
    assert store.buckets(ME) == []
    assert store.read(store.head(YOU, "yours", "a")) == FILLER + b"yours"
    store.sweeper.released(grace=-1)
    assert len(files(tmp_path)) == 1
    store.create_bucket(YOU, REGION, "bucket")
