"""Statements that go straight to the driver: the same rows, transactions and errors as by SQLAlchemy, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from kenja.core.clock import Clock
from kenja.kernel import database
from kenja.kernel.database import Database, sqlite_url
from kenja.kernel.objects import ObjectStore
from kenja.kernel.objects.tables import BUCKET, METADATA, OBJECT, VERSION
from kenja.kernel.statements import Statement

KEY = b"\x00key\xff"
ROW = {
    "bucket": "bucket", "key": KEY, "rank": -(2**60), "version": "v", "marker": True, "blob": "", "size": 2**40,
    "etag": "é", "modified": 0.1, "storage_class": "STANDARD", "checksum": "", "document": "{}",
}  # fmt: skip
INSERT = Statement(insert(VERSION))
COUNT = Statement(select(func.count().label("number")).select_from(VERSION))


@pytest.fixture
def opened(tmp_path: Path, database_url: str) -> Iterator[Database]:
    store = ObjectStore(tmp_path / "objects", database_url, Clock())
    store.create_bucket("111111111111", "us-east-1", "bucket")
    store.close()
    made = Database(database_url, METADATA, "kenja.kernel.objects.migrations")
    yield made
    made.close()


def count(opened: Database) -> int:
    with opened.reading() as connection:
        return int(COUNT.first(connection, {}).number)


def test_rows_are_those_that_sqlalchemy_reads(opened: Database) -> None:
    with opened.transaction() as connection:
        assert INSERT.run(connection, ROW) == 1
    query = select(VERSION).where(VERSION.c.bucket == bindparam("of_bucket"))
    with opened.reading() as connection:
        expected = connection.execute(query, {"of_bucket": "bucket"}).one()
        found = Statement(query).all(connection, {"of_bucket": "bucket"})
        first = Statement(query).first(connection, {"of_bucket": "bucket"})
        assert Statement(query).first(connection, {"of_bucket": "nowhere"}) is None
    assert found == [tuple(expected)] == [first]
    assert first._asdict() == dict(expected._mapping) == ROW
    assert [type(value) for value in first] == [type(value) for value in ROW.values()]


def test_values_in_a_statement_are_kept_beside_its_parameters(opened: Database) -> None:
    with opened.transaction() as connection:
        for rank in range(5):
            INSERT.run(connection, {**ROW, "rank": rank, "version": str(rank)})
    query = select(VERSION.c.rank).where(VERSION.c.rank > bindparam("above"), VERSION.c.rank != 3)
    statement = Statement(query.order_by(VERSION.c.rank).limit(2))
    with opened.reading() as connection:
        assert [row.rank for row in statement.all(connection, {"above": 1})] == [2, 4]
        assert [row.rank for row in statement.all(connection, {"above": -1})] == [0, 1]


def test_it_takes_part_in_the_transaction_of_its_connection(opened: Database) -> None:
    def work() -> None:
        with opened.transaction() as connection:
            INSERT.run(connection, ROW)
            assert connection.execute(select(func.count()).select_from(VERSION)).scalar() == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert count(opened) == 0


def test_its_errors_are_sqlalchemys(opened: Database) -> None:
    def work(**values: Any) -> None:
        with opened.transaction() as connection:
            INSERT.run(connection, {**ROW, **values})

    work()
    for values in ({}, {"bucket": "nowhere"}):
        with pytest.raises(IntegrityError) as told:
            work(**values)
        assert told.value.orig is not None
    assert count(opened) == 1


def test_a_thread_keeps_its_connection_and_gives_it_back_when_it_ends(tmp_path: Path) -> None:
    ObjectStore(tmp_path / "objects", sqlite_url(tmp_path / "index.db"), Clock()).close()
    opened = Database(sqlite_url(tmp_path / "index.db"), METADATA, "kenja.kernel.objects.migrations")
    for _ in range(database.POOL_SIZE + 10):
        thread = threading.Thread(target=count, args=[opened])
        thread.start()
        thread.join()
    wait, seen = threading.Barrier(database.POOL_SIZE), []

    def work() -> None:
        for _ in range(2):
            seen.append(count(opened))
            wait.wait(30)

    threads = [threading.Thread(target=work) for _ in range(database.POOL_SIZE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 2 * database.POOL_SIZE
    opened.close()


def test_a_read_within_a_read_does_not_disturb_it(opened: Database) -> None:
    with opened.transaction() as connection:
        for rank in range(3):
            INSERT.run(connection, {**ROW, "rank": rank, "version": str(rank)})
    with opened.reading() as connection:
        outer = connection.execute(select(VERSION.c.rank).order_by(VERSION.c.rank))
        seen = [(row.rank, count(opened)) for row in outer]
    assert seen == [(0, 3), (1, 3), (2, 3)]
    with opened.transaction() as connection:
        Statement(delete(OBJECT)).run(connection)
        Statement(delete(VERSION)).run(connection)
        assert Statement(delete(BUCKET).where(BUCKET.c.name == bindparam("of_name"))).run(
            connection, {"of_name": "bucket"}
        )
    assert count(opened) == 0


def test_a_writer_that_waits_in_vain_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.1)
    store = ObjectStore(tmp_path / "objects", sqlite_url(tmp_path / "index.db"), Clock())
    other = Database(sqlite_url(tmp_path / "index.db"), METADATA, "kenja.kernel.objects.migrations")
    with other.transaction(), pytest.raises(OperationalError, match="locked"):
        store.create_bucket("111111111111", "us-east-1", "bucket")
    store.create_bucket("111111111111", "us-east-1", "bucket")
    store.close()
    other.close()
