"""One SQL database: SQLite file or PostgreSQL schema behind the same few calls. Only stores import this module.

A transaction joins the one that is already open on the same database in this thread, so that a handler can write a
resource, its job and its event in one piece. SQLite transactions begin IMMEDIATE: a writer waits for its turn (up to
BUSY_TIMEOUT) and then never fails half-way for want of a lock. A thread keeps its SQLite connection between calls.
"""

from __future__ import annotations

import importlib
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Executable, MetaData, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from kenja.kernel.statements import Statement

BUSY_TIMEOUT = 30.0  # seconds that a SQLite writer waits for another one
_IN_ERROR = 3  # PQTRANS_INERROR of libpq
POOL_SIZE = 64  # connections; at least the number of handler threads
KEPT = 40  # connections that threads keep: all handlers', and enough of the pool left for everyone else
_BEGIN, _BEGIN_IMMEDIATE, _COMMIT = (Statement(text(words)) for words in ("BEGIN", "BEGIN IMMEDIATE", "COMMIT"))


class SchemaTooNew(Exception):  # noqa: N818 - what is the matter
    """A newer Kenja has changed this database; this one would not understand it."""


class Database:
    """One database of the platform; thread safe, and safe to open from several processes at once."""

    def __init__(self, url: str, metadata: MetaData, migrations: str) -> None:
        """Open `url` and bring its schema to the newest revision.

        `migrations` names the package that holds the alembic scripts, called by their revisions: 0001_first.py.
        """
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.metadata = metadata
        self._migrations = migrations
        self.engine = _engine(url)
        self._local = threading.local()
        self._kept: weakref.WeakSet[Connection] = weakref.WeakSet()  # of all threads; one that ends gives its own back
        self._writing = threading.Lock()
        self._begin = _BEGIN_IMMEDIATE if self.is_sqlite else _BEGIN
        self._upgrade()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A write transaction: commits when the block ends, rolls back when it raises; joins an open one."""
        current: Connection | None = getattr(self._local, "connection", None)
        if current is not None:
            yield current
            return
        with self._turn():
            yield from self._transaction()

    def _transaction(self) -> Iterator[Connection]:
        connection = self._take()
        try:
            self._begin.run(connection)
            self._local.connection = connection
            try:
                yield connection
                self._refuse_failed(connection)
                _COMMIT.run(connection)
            except BaseException:
                _roll_back(connection)
                raise
            finally:
                self._local.connection = None
        finally:
            self._give(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for single SELECTs; sees the open transaction of this thread if there is one."""
        current: Connection | None = getattr(self._local, "connection", None)
        if current is not None:
            yield current
            return
        connection = self._take()
        try:
            yield connection
        finally:
            self._give(connection)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """SQLite's writers sleep and try again; those of one process wait for each other here, in less time."""
        mine = self.is_sqlite and self._writing.acquire(timeout=BUSY_TIMEOUT)
        try:
            yield
        finally:
            if mine:
                self._writing.release()

    def _take(self) -> Connection:
        """The connection that this thread keeps, for one use at a time, or another one."""
        kept: Connection | None = getattr(self._local, "kept", None)
        if kept is None:
            kept = self.engine.connect()
            kept.begin()  # for SQLAlchemy and alembic, who must end no transaction themselves; nothing is sent
        self._local.kept = None
        return kept

    def _give(self, connection: Connection) -> None:
        """Keep a connection for the next call; PostgreSQL's go back to the pool, which knows when a server is gone."""
        usable = self.is_sqlite and not connection.invalidated and getattr(self._local, "kept", None) is None
        if usable and (len(self._kept) < KEPT or connection in self._kept):
            self._kept.add(connection)
            self._local.kept = connection
        else:
            connection.close()

    def insert_new(self, table: Table) -> Executable:
        """An INSERT that leaves a row with the same key as it is, also when another process is writing it now."""
        if self.is_sqlite:
            return sqlite.insert(table).on_conflict_do_nothing()
        return postgresql.insert(table).on_conflict_do_nothing()

    def _refuse_failed(self, connection: Connection) -> None:
        """PostgreSQL answers the COMMIT of a transaction in which a statement failed with a ROLLBACK and no error."""
        if not self.is_sqlite:
            driver: Any = connection.connection.driver_connection
            if driver.info.transaction_status == _IN_ERROR:
                raise RuntimeError("a statement of this transaction failed, and its error was not passed on")

    def close(self) -> None:
        """Give all connections back; the database can not be used afterwards."""
        for connection in list(self._kept):
            connection.close()
        self._local = threading.local()
        self.engine.dispose()

    def _upgrade(self) -> None:
        package = importlib.import_module(self._migrations)
        table = f"revision_{self._migrations.rsplit('.', 2)[-2]}"
        present = self._revision(table)
        folder = Path(str(package.__path__[0]))
        known = sorted(script.name.partition("_")[0] for script in (folder / "versions").glob("[0-9]*_*.py"))
        if present == known[-1]:
            return
        if present is not None and present not in known:
            raise SchemaTooNew(
                f"the database {self.engine.url.render_as_string()} has schema {present}, but this version of Kenja "
                f"knows only schemas up to {known[-1]}: a newer version has opened it. Use that version, or restore a backup."
            )
        from alembic import command  # imported only when there is something to migrate: it costs 0.2 s
        from alembic.config import Config

        settings = Config()
        settings.set_main_option("script_location", str(folder))
        settings.set_main_option("path_separator", "os")
        with self.transaction() as connection:
            if not self.is_sqlite:  # SQLite's transaction is exclusive already; the number is "kenja" in ASCII
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(461331460705)")
            settings.attributes["connection"] = connection
            settings.attributes["table"] = table
            command.upgrade(settings, "head")

    def _revision(self, table: str) -> str | None:
        try:
            with self.engine.connect() as connection:
                return connection.execute(text(f"SELECT version_num FROM {table}")).scalar()  # noqa: S608 - our own name
        except DBAPIError:
            return None  # no such table: a new database


def _roll_back(connection: Connection) -> None:
    """Undo the transaction; a connection that can not is not used again, so that the error that led here is the one told."""
    try:
        connection.exec_driver_sql("ROLLBACK")
    except DBAPIError:
        connection.invalidate()


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_size=POOL_SIZE, max_overflow=0, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=POOL_SIZE,
        max_overflow=0,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "cache_size=-8000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file, whose folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}"
