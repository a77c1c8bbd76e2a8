"""Transactions when something goes wrong in them: the error that is told, and the connection that is used next."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.resources.store import Record, Scope, Store

HERE = Scope("111111111111", "us-east-1")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store(database_url, Clock())
    yield opened
    opened.close()


@pytest.fixture
def database(store: Store) -> Database:
    with store.database.transaction() as connection:
        connection.exec_driver_sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql(
            "CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"
        )
    return store.database


def children(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM child").scalar_one())


def test_a_commit_that_fails_leaves_nothing_behind(database: Database) -> None:
    for _ in range(3):
        with pytest.raises(IntegrityError), database.transaction() as connection:
            connection.exec_driver_sql("INSERT INTO child VALUES (1)")  # no such parent: the commit finds it out
        assert children(database) == 0
    with database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO parent VALUES (1)")
        connection.exec_driver_sql("INSERT INTO child VALUES (1)")
    assert children(database) == 1


def test_the_error_of_the_work_is_told_even_when_the_rollback_fails(database: Database) -> None:
    def work() -> None:
        with database.transaction() as connection:
            connection.exec_driver_sql("INSERT INTO parent VALUES (1)")
            connection.exec_driver_sql("ROLLBACK")  # as SQLite does itself on a full disk
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    with database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO parent VALUES (1)")


def test_a_transaction_in_which_a_statement_failed_is_kept_whole_or_told_to_be_lost(store: Store) -> None:
    """PostgreSQL answers the COMMIT of a failed transaction with a silent ROLLBACK; SQLite keeps what was done."""
    told = False
    try:
        with store.transaction():
            store.insert(Record(HERE, "a:B", "first", "arn:first", None, {}))
            with store.database.transaction() as connection, contextlib.suppress(DBAPIError):
                connection.exec_driver_sql("SELECT * FROM nowhere")
    except RuntimeError:
        told = True
    assert (store.get(HERE, "a:B", "first") is None) == told
    store.insert(Record(HERE, "a:B", "second", "arn:second", None, {}))


def test_a_connection_that_broke_is_not_used_again(store: Store) -> None:
    def work() -> None:
        with store.database.transaction() as connection:
            store.insert(Record(HERE, "a:B", "first", "arn:first", None, {}))
            driver: Any = connection.connection.driver_connection
            driver.close()  # the commit finds it out

    with pytest.raises(DBAPIError):
        work()
    assert store.get(HERE, "a:B", "first") is None
    store.insert(Record(HERE, "a:B", "first", "arn:first", None, {}))
    assert store.get(HERE, "a:B", "first") is not None
