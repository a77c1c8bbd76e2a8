"""Versions of objects, on both databases, against a model of S3's rules that is a list per key; and their migration."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, func, select, text

import kenja.kernel.objects.migrations
from kenja.core.clock import Clock
from kenja.kernel.objects import (
    ENABLED,
    NULL,
    SUSPENDED,
    Claim,
    ObjectInfo,
    ObjectStore,
    Removal,
    Removed,
    VersionRow,
    errors,
    small,
)
from kenja.kernel.objects.tables import SMALL

ME = "111111111111"
KEYS = ("a", "a/1", "a/2", "b", "c/d")


@pytest.fixture
def store(tmp_path: Path, database_url: str) -> Iterator[ObjectStore]:
    opened = ObjectStore(tmp_path / "objects", database_url, Clock())
    opened.create_bucket(ME, "us-east-1", "bucket")
    yield opened
    opened.close()


def put(store: ObjectStore, key: str, data: bytes = b"x", **options: Any) -> ObjectInfo:
    with store.receive(data) as draft:
        return store.put(ME, "bucket", key, draft, **options)


def get(store: ObjectStore, key: str, version: str | None = None) -> bytes:
    return store.read(store.head(ME, "bucket", key, version))


def delete(store: ObjectStore, key: str, version: str | None = None) -> Removed:
    return store.delete(ME, "bucket", Removal(key, version))


def turn(store: ObjectStore, state: str) -> None:
    store.configure(ME, "bucket", lambda bucket: replace(bucket, versioning=state))


def listed(store: ObjectStore, **options: Any) -> list[VersionRow]:
    return store.list_versions(ME, "bucket", **options).rows


def blobs(tmp_path: Path) -> int:
    return sum(path.is_file() for path in (tmp_path / "objects").rglob("*") if ".db" not in path.name)


@dataclass
class Model:
    """A bucket as the S3 User Guide describes it: per key its versions, the newest first; None is a delete marker."""

    state: str = ""
    keys: dict[str, list[tuple[str, bytes | None]]] = field(default_factory=dict)

    def add(self, key: str, version: str, data: bytes | None) -> None:
        found = self.keys.setdefault(key, [])
        if self.state != ENABLED:
            found[:] = [each for each in found if each[0] != NULL]
        found.insert(0, (version or NULL, data))

    def drop(self, key: str, version: str) -> None:
        self.keys[key] = [each for each in self.keys.get(key, []) if each[0] != version]

    def current(self, key: str) -> bytes | None:
        found = self.keys.get(key)
        return found[0][1] if found else None

    def rows(self) -> list[tuple[str, str, bool, bytes | None]]:
        return [
            (key, version, place == 0, data)
            for key in sorted(self.keys)
            for place, (version, data) in enumerate(self.keys[key])
        ]


def compare(store: ObjectStore, model: Model, page: int) -> None:
    for key in KEYS:
        expected = model.current(key)
        if expected is None:
            kind = errors.IsDeleteMarker if model.keys.get(key) else errors.NoSuchKey
            with pytest.raises(kind):
                store.head(ME, "bucket", key)
        else:
            assert get(store, key) == expected
        for version, data in model.keys.get(key, []):
            if data is None:
                with pytest.raises(errors.IsDeleteMarker):
                    store.head(ME, "bucket", key, version)
            else:
                assert get(store, key, version) == data
    live = [key for key in sorted(model.keys) if model.current(key) is not None]
    assert [row.key.decode() for row in store.list(ME, "bucket").rows] == live
    found: list[VersionRow] = []
    after, after_version = None, ""
    while True:
        part = store.list_versions(ME, "bucket", after=after, after_version=after_version, limit=page)
        found += part.rows
        if not part.truncated:
            break
        assert len(part.rows) == page
        after, after_version = part.rows[-1].key.decode(), part.rows[-1].version
    expected_rows = [(key, version, data is None) for key, version, _, data in model.rows()]
    assert [(row.key.decode(), row.version, row.marker) for row in found] == expected_rows


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_writes_and_deletes_leaves_what_the_model_says(
    store: ObjectStore, tmp_path: Path, seed: int
) -> None:
    chance, model = random.Random(seed), Model()
    for step in range(120):
        key = chance.choice(KEYS)
        match chance.randrange(10):
            case 0:
                model.state = chance.choice([ENABLED, SUSPENDED])
                turn(store, model.state)
            case 1 | 2 | 3 | 4:
                data = bytes(small.LIMIT * (step % 2)) + f"{step}".encode()  # every other one gets a file
                model.add(key, put(store, key, data).version, data)
            case 5 | 6:
                removed = delete(store, key)
                if model.state:
                    assert removed.marker
                    model.add(key, removed.version, None)
                else:
                    model.keys.pop(key, None)
            case _:
                known = [each[0] for each in model.keys.get(key, [])] + [NULL]
                version = chance.choice(known)
                delete(store, key, version)
                model.drop(key, version)
        if step % 10 == 9:
            compare(store, model, page=chance.randrange(1, 7))
    store.sweeper.released(grace=-1)
    left = [len(data) for _, _, _, data in model.rows() if data is not None]
    assert blobs(tmp_path) == sum(size > small.LIMIT for size in left)
    with store._database.reading() as connection:
        inside = connection.execute(select(func.count()).select_from(SMALL)).scalar_one()
    assert inside == sum(size <= small.LIMIT for size in left)
    assert store.sweeper.orphans(age=-1) == 0
    compare(store, model, page=5)


def test_versions_of_one_key_have_ids_of_their_own_and_the_newest_comes_first(store: ObjectStore) -> None:
    turn(store, ENABLED)
    written = [put(store, "a", str(number).encode()).version for number in range(5)]
    assert len(set(written)) == 5
    assert all(len(version) == 32 for version in written)
    assert [row.version for row in listed(store)] == written[::-1]


def test_a_listing_goes_on_after_a_version_that_is_gone_meanwhile(store: ObjectStore) -> None:
    turn(store, ENABLED)
    written = [put(store, "a", str(number).encode()).version for number in range(6)][::-1]
    first = listed(store, limit=3)
    assert [row.version for row in first] == written[:3]
    delete(store, "a", written[2])
    rest = listed(store, after="a", after_version=written[2])
    assert [row.version for row in rest] == written[3:]


def test_a_listing_of_versions_rolls_up_and_its_pages_fit_together(store: ObjectStore) -> None:
    turn(store, ENABLED)
    for key in ("a", "b/1", "b/2", "c"):
        for _ in range(3):
            put(store, key)
    page = store.list_versions(ME, "bucket", delimiter="/")
    assert ([row.key for row in page.rows], page.prefixes) == ([b"a"] * 3 + [b"c"] * 3, [b"b/"])
    page = store.list_versions(ME, "bucket", delimiter="/", limit=4)
    assert (len(page.rows), page.prefixes, page.truncated, page.last) == (3, [b"b/"], True, b"b/")
    page = store.list_versions(ME, "bucket", delimiter="/", after="b/", after_version="", limit=4)
    assert [row.key for row in page.rows] == [b"c"] * 3
    assert [row.key for row in listed(store, prefix="b/")] == [b"b/1"] * 3 + [b"b/2"] * 3


def test_a_bucket_with_versions_is_not_deleted(store: ObjectStore) -> None:
    turn(store, ENABLED)
    put(store, "a")
    marker = delete(store, "a").version
    with pytest.raises(errors.BucketNotEmpty):
        store.delete_bucket(ME, "bucket")
    for row in listed(store):
        delete(store, "a", row.version)
    assert marker not in [row.version for row in listed(store)]
    store.delete_bucket(ME, "bucket")


def test_a_condition_sees_the_version_that_would_go(store: ObjectStore) -> None:
    turn(store, ENABLED)
    old, new = put(store, "a", b"old"), put(store, "a", b"new")
    seen: list[ObjectInfo | None] = []

    def refuse(info: ObjectInfo | None) -> None:
        seen.append(info)
        raise errors.PreconditionFailed("If-Match")

    outcome = store.delete_many(
        ME, "bucket", [Removal("a", old.version, refuse), Removal("a", None, refuse), Removal("a", "0" * 32, refuse)]
    )
    assert all(isinstance(each, errors.PreconditionFailed) for each in outcome)
    assert seen == [old, new, None]
    assert len(listed(store)) == 2


def test_a_completed_upload_is_a_version_too(store: ObjectStore) -> None:
    turn(store, ENABLED)
    first = put(store, "a", b"plain")
    upload = store.uploads.create(ME, "bucket", "a", initiator="")
    with store.receive_file(b"part") as draft:
        part = store.uploads.put_part(upload, 1, draft)
    done = store.uploads.complete(ME, upload, [Claim(1, part.etag)])
    assert done.version not in ("", first.version)
    assert [row.version for row in listed(store)] == [done.version, first.version]
    assert get(store, "a", first.version) == b"plain"


def test_attributes_of_any_version_can_be_amended(store: ObjectStore) -> None:
    turn(store, ENABLED)
    old, new = put(store, "a", b"old"), put(store, "a", b"new")
    for info, tags in ((old, {"age": "old"}), (new, {"age": "new"})):
        store.amend(ME, "bucket", "a", info.version, lambda present, tags=tags: replace(present.attributes, tags=tags))
    assert store.head(ME, "bucket", "a", old.version).attributes.tags == {"age": "old"}
    assert store.head(ME, "bucket", "a").attributes.tags == {"age": "new"}
    assert (get(store, "a", old.version), get(store, "a")) == (b"old", b"new")
    with pytest.raises(errors.NoSuchVersion):
        store.amend(ME, "bucket", "a", "0" * 32, lambda present: present.attributes)


def test_emptying_an_account_removes_versions_too(store: ObjectStore, tmp_path: Path) -> None:
    turn(store, ENABLED)
    put(store, "a")
    put(store, "a")
    delete(store, "a")
    store.empty(ME)
    assert store.buckets(ME) == []
    store.sweeper.released(grace=-1)
    assert blobs(tmp_path) == 0


def test_pages_of_versions_read_no_more_than_they_show(tmp_path: Path) -> None:
    opened = ObjectStore(tmp_path / "objects", f"sqlite:///{tmp_path / 'index.db'}", Clock())
    opened.create_bucket(ME, "us-east-1", "bucket")
    turn(opened, ENABLED)
    with opened._database.transaction() as connection:
        for table, marker in (("object", ""), ("version", ", marker")):
            connection.execute(text(
                f"insert into {table} (bucket, key, rank, version, blob, size, etag, modified, storage_class, checksum,"
                f" document{marker}) with recursive n(i) as (select 0 union all select i + 1 from n where i < 99999)"
                f" select 'bucket', cast(printf('%06d', i / {10 if marker else 1}) as blob), i - 10000000,"
                f" 'v' || i, '', 0, '', 0, '', '', '{{}}'{', 0' if marker else ''} from n"
            ))  # fmt: skip
    seen: list[str] = []

    def plan(statement: str) -> None:
        with opened._database.reading() as connection:
            seen.extend(row[-1] for row in connection.execute(text(f"explain query plan {statement}")))

    for table in ("object", "version"):
        plan(f"select key from {table} where bucket = 'bucket' and (key, rank) > (x'30', 5) order by key, rank limit 9")
        plan(f"select key from {table} where bucket = 'bucket' and key >= x'30' order by key, rank limit 9")
    assert all(step.startswith("SEARCH") for step in seen), seen
    page = opened.list_versions(ME, "bucket", after="050000", limit=1000)
    assert [row.key for row in page.rows] == [f"{number:06}".encode() for number in range(50001, 51001)]
    opened.close()


def test_a_store_of_the_first_revision_is_upgraded_with_what_it_holds(tmp_path: Path, database_url: str) -> None:
    package = kenja.kernel.objects.migrations
    settings = Config()
    settings.set_main_option("script_location", str(Path(package.__path__[0])))
    settings.set_main_option("path_separator", "os")
    engine = create_engine(database_url)
    with engine.begin() as connection:
        settings.attributes |= {"connection": connection, "table": "revision_objects"}
        command.upgrade(settings, "0001")
        connection.execute(text("insert into bucket values ('bucket', '111111111111', 'us-east-1', 1)"))
        connection.execute(text("insert into object values ('bucket', :key, 'b1', 3, 'e1', 1, 'STANDARD', '', '{}')"), {"key": b"k"})  # fmt: skip
    engine.dispose()
    opened = ObjectStore(tmp_path / "objects", database_url, Clock())
    info = opened.head(ME, "bucket", "k")
    assert (info.blob, info.size, info.etag, info.version) == ("b1", 3, "e1", "")
    turn(opened, ENABLED)
    assert opened.head(ME, "bucket", "k", NULL).blob == "b1"
    put(opened, "k", b"new")
    assert [(row.version, row.etag) for row in listed(opened)][1] == (NULL, "e1")
    opened.close()
