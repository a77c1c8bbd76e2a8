"""Rows that one process at a time owns by a lease: claimed, renewed, taken over from the dead. Knows no phases and no folders.

Only the holder of a lease may write: whoever slept through its own finds out by LeaseLost, and somebody else goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select, update

from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.resources.store import Scope

LEASE = 15.0  # wall seconds that an owner has a row without renewing


class LeaseLost(Exception):  # noqa: N818 - what happened
    """The row was leased to somebody else meanwhile, who goes on with it."""


class LeasedRow(Protocol):
    """What a loop needs to know of a row. `status` is its resource's as the row was read; None when that is gone."""

    @property
    def id(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def scope(self) -> Scope: ...
    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def status(self) -> str | None: ...
    @property
    def resource(self) -> int: ...
    @property
    def folder(self) -> str: ...


def folder_name(row: str, data: Mapping[str, Any]) -> str:
    """Name of the folder of a row's attempt; a new attempt never meets the files of the one before."""
    return f"{row}-{data.get('try', 0)}"


Row = TypeVar("Row", bound=LeasedRow)


class LeasedRows(ABC, Generic[Row]):
    """One table with the columns `id`, `phase`, `owner` and `lease_until`. Thread safe, and safe between processes."""

    def __init__(self, database: Database, clock: Clock, table: Table) -> None:
        self._database = database
        self._clock = clock
        self._table = table

    def claim(self, owner: str, dead: Sequence[str] = ()) -> list[Row]:
        """Lease every row that nobody owns, whose lease ran out, or whose owner is known to be dead; all that are owned then."""
        row, now = self._table.c, self._clock.wall()
        with self._database.transaction() as connection:
            query = select(row.id).where(self._free(now, dead))
            if not self._database.is_sqlite:
                query = query.with_for_update(skip_locked=True)
            found = [taken.id for taken in connection.execute(query)]
            if found:
                leased = update(self._table).where(row.id.in_(found)).values(owner=owner, lease_until=now + LEASE)
                connection.execute(leased)
        return self.owned(owner) if found else []

    def has_free(self) -> bool:
        """True when `claim` would find something that is new; costs one read."""
        with self._database.reading() as connection:
            query = select(self._table.c.id).where(self._free(self._clock.wall(), ())).limit(1)
            return connection.execute(query).first() is not None

    def exists(self, row: str) -> bool:
        """True for the id of a row that is not over, whoever has leased it."""
        with self._database.reading() as connection:
            return connection.execute(select(self._table.c.id).where(self._table.c.id == row)).first() is not None

    def owners(self) -> list[str]:
        """Everyone who holds a lease."""
        owner = self._table.c.owner
        with self._database.reading() as connection:
            return [row.owner for row in connection.execute(select(owner).where(owner != "").distinct())]

    def phases(self) -> dict[str, int]:
        """How many rows are in each phase."""
        phase = self._table.c.phase
        with self._database.reading() as connection:
            rows = connection.execute(select(phase, func.count()).group_by(phase))
            return {str(name): int(count) for name, count in rows}

    def renew(self, owner: str) -> None:
        """Keep all leases of `owner` for another LEASE seconds."""
        until = self._clock.wall() + LEASE
        with self._database.transaction() as connection:
            connection.execute(update(self._table).where(self._table.c.owner == owner).values(lease_until=until))

    def owned(self, owner: str) -> list[Row]:
        """The rows that `owner` has leased, in the order of `_read`."""
        return self._read(self._table.c.owner == owner)

    @abstractmethod
    def _read(self, where: ColumnElement[bool]) -> list[Row]:
        """Rows with the present status of their resources."""

    def _write(self, row: Row, **values: Any) -> None:
        """Change a row that is still held by who read it. Raises LeaseLost."""
        with self._database.transaction() as connection:
            if not connection.execute(update(self._table).where(self._held(row)).values(**values)).rowcount:
                raise LeaseLost(row.id)

    def _remove(self, row: Row) -> None:
        """Forget a row that is still held by who read it. Raises LeaseLost."""
        with self._database.transaction() as connection:
            if not connection.execute(delete(self._table).where(self._held(row))).rowcount:
                raise LeaseLost(row.id)

    def _held(self, row: Row) -> ColumnElement[bool]:
        return and_(self._table.c.id == row.id, self._table.c.owner == row.owner)

    def _free(self, now: float, dead: Sequence[str]) -> ColumnElement[bool]:
        """A lease beyond the longest that could be given now was given before the wall clock was set back."""
        row = self._table.c
        return or_(row.lease_until < now, row.lease_until > now + 2 * LEASE, row.owner == "", row.owner.in_(list(dead)))
