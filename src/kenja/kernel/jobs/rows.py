"""The table of jobs: enqueued in the transaction of Create, leased by one reconciler at a time, gone when collected."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import ColumnElement, delete, insert, or_, select, update

from kenja.core import ids
from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.resources import documents
from kenja.kernel.resources.store import Record, Scope
from kenja.kernel.resources.tables import JOB, RESOURCE

Phase = Literal["queued", "starting", "running", "collecting"]
LEASE = 15.0  # wall seconds that a reconciler owns a job without renewing


class LeaseLost(Exception):  # noqa: N818 - what happened
    """The job was leased to somebody else meanwhile, who goes on with it."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job. `status` is its resource's status as the row was read; None when the resource is gone."""

    id: str
    driver: str
    scope: Scope
    kind: str
    name: str
    phase: Phase
    attempt: int
    created: float  # wall seconds
    data: dict[str, Any]
    owner: str = ""  # who had leased it as the row was read
    status: str | None = None


class JobRows:
    """Thread safe, and safe between processes. `wake` is the socket on which a reconciler listens for pokes."""

    def __init__(self, database: Database, clock: Clock, wake: Path) -> None:
        self._database = database
        self._clock = clock
        self._wake = wake

    def enqueue(self, record: Record, driver: str) -> str:
        """Queue the job of a resource; part of the transaction that is open."""
        job = ids.token(20)
        values = {
            "id": job,
            "driver": driver,
            "account": record.scope.account,
            "region": record.scope.region,
            "kind": record.kind,
            "name": record.name,
            "phase": "queued",
            "attempt": 1,
            "owner": "",
            "lease_until": 0.0,
            "created": self._clock.wall(),
            "data": documents.dumps({"resource": record.id}),
        }
        with self._database.transaction() as connection:
            connection.execute(insert(JOB), values)
        return job

    def poke(self) -> None:
        """Tell the reconciler that there is something to do; when none listens, its next look finds it anyway."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            try:
                line.sendto(b"!", os.fspath(self._wake))
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                return

    def claim(self, owner: str, dead: Sequence[str] = ()) -> list[JobRow]:
        """Lease every job that nobody owns, whose lease ran out, or whose owner is known to be dead; oldest first."""
        now = self._clock.wall()
        free = or_(JOB.c.lease_until < now, JOB.c.owner == "", JOB.c.owner.in_(list(dead)))
        with self._database.transaction() as connection:
            query = select(JOB.c.id).where(free)
            if not self._database.is_sqlite:
                query = query.with_for_update(skip_locked=True)
            found = [row.id for row in connection.execute(query)]
            if found:
                connection.execute(update(JOB).where(JOB.c.id.in_(found)).values(owner=owner, lease_until=now + LEASE))
        return self.owned(owner) if found else []

    def has_free(self) -> bool:
        """True when `claim` would find something that is new; costs one indexed read."""
        free = or_(JOB.c.lease_until < self._clock.wall(), JOB.c.owner == "")
        with self._database.reading() as connection:
            return connection.execute(select(JOB.c.id).where(free).limit(1)).first() is not None

    def exists(self, job: str) -> bool:
        """True for the id of a job that is not over, whoever has leased it."""
        with self._database.reading() as connection:
            return connection.execute(select(JOB.c.id).where(JOB.c.id == job)).first() is not None

    def owners(self) -> list[str]:
        """Everyone who holds a lease."""
        with self._database.reading() as connection:
            return [row.owner for row in connection.execute(select(JOB.c.owner).where(JOB.c.owner != "").distinct())]

    def renew(self, owner: str) -> None:
        """Keep all leases of `owner` for another LEASE seconds."""
        with self._database.transaction() as connection:
            connection.execute(update(JOB).where(JOB.c.owner == owner).values(lease_until=self._clock.wall() + LEASE))

    def owned(self, owner: str) -> list[JobRow]:
        """The jobs that `owner` has leased, oldest first, each with the present status of its resource."""
        joined = JOB.outerjoin(
            RESOURCE,
            (RESOURCE.c.account == JOB.c.account)
            & (RESOURCE.c.region == JOB.c.region)
            & (RESOURCE.c.kind == JOB.c.kind)
            & (RESOURCE.c.name == JOB.c.name),
        )
        query = (
            select(JOB, RESOURCE.c.status, RESOURCE.c.id.label("resource"))
            .select_from(joined)
            .where(JOB.c.owner == owner)
        )
        with self._database.reading() as connection:
            return [_row(row) for row in connection.execute(query.order_by(JOB.c.created, RESOURCE.c.id))]

    def move(self, row: JobRow, phase: Phase, *, attempt: int | None = None, **data: Any) -> JobRow:
        """Write a job's next phase; `data` is merged into what is known of it. Raises LeaseLost."""
        merged = {**row.data, **data}
        number = row.attempt if attempt is None else attempt
        with self._database.transaction() as connection:
            values = {"phase": phase, "attempt": number, "data": documents.dumps(merged)}
            changed = connection.execute(update(JOB).where(*_held(row)).values(values)).rowcount
            if not changed:
                raise LeaseLost(row.id)
        return replace(row, phase=phase, attempt=number, data=merged)

    def finish(self, row: JobRow) -> None:
        """Forget a job that is collected; part of the transaction that writes its resource's final state. Raises LeaseLost."""
        with self._database.transaction() as connection:
            if not connection.execute(delete(JOB).where(*_held(row))).rowcount:
                raise LeaseLost(row.id)


def _held(row: JobRow) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return JOB.c.id == row.id, JOB.c.owner == row.owner


def _row(row: Any) -> JobRow:
    data = documents.loads(row.data)
    status = row.status if row.resource == data["resource"] else None  # a new resource may have the name of an old one
    return JobRow(
        row.id, row.driver, Scope(row.account, row.region), row.kind, row.name, row.phase, row.attempt, row.created,
        data, row.owner, status,
    )  # fmt: skip
