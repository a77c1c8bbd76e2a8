"""The table of jobs: enqueued in the transaction of Create, leased by one reconciler at a time, gone when collected."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import ColumnElement, insert, select

from kenja.core import ids, unixsocket
from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.jobs.gates import Gates, taken
from kenja.kernel.leases import LeasedRows
from kenja.kernel.leases.rows import folder_name
from kenja.kernel.resources import documents
from kenja.kernel.resources.store import Record, Scope
from kenja.kernel.resources.tables import JOB, JOB_GATE, RESOURCE

Phase = Literal["queued", "starting", "running", "collecting"]


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
    resource: int  # id of its resource's record, never given twice
    owner: str = ""  # who had leased it as the row was read
    status: str | None = None
    steps: int | None = None  # that a test granted it; None for a job that nobody holds

    @property
    def is_held(self) -> bool:
        """True while it may not pass the next gate."""
        return self.steps is not None and self.steps <= taken(self.data)

    @property
    def folder(self) -> str:
        """Name of its attempt's folder."""
        return folder_name(self.id, self.data)


class JobRows(LeasedRows[JobRow]):
    """Thread safe, and safe between processes. `wake` is the socket on which a reconciler listens for pokes."""

    def __init__(self, database: Database, clock: Clock, wake: Path) -> None:
        super().__init__(database, clock, JOB)
        self._wake = wake
        self.gates = Gates(database)

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
            "data": "{}",
            "resource": record.id,
        }
        with self._database.transaction() as connection:
            connection.execute(insert(JOB), values)
            self.gates.put(record.scope.account, job)
        return job

    def poke(self) -> None:
        """Tell the reconciler that there is something to do; when none listens, its next look finds it anyway."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            try:
                with unixsocket.address(self._wake) as place:
                    line.sendto(b"!", place)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                return

    def _read(self, where: ColumnElement[bool]) -> list[JobRow]:
        """Jobs, oldest first."""
        joined = JOB.outerjoin(RESOURCE, RESOURCE.c.id == JOB.c.resource).outerjoin(
            JOB_GATE, (JOB_GATE.c.account == JOB.c.account) & (JOB_GATE.c.job == JOB.c.id)
        )
        query = select(JOB, RESOURCE.c.status, JOB_GATE.c.steps).select_from(joined).where(where)
        with self._database.reading() as connection:
            return [_row(row) for row in connection.execute(query.order_by(JOB.c.created, JOB.c.resource))]

    def move(self, row: JobRow, phase: Phase, *, attempt: int | None = None, **data: Any) -> JobRow:
        """Write a job's next phase; `data` is merged into what is known of it. Raises LeaseLost."""
        merged = {**row.data, **data}
        number = row.attempt if attempt is None else attempt
        self._write(row, phase=phase, attempt=number, data=documents.dumps(merged))
        return replace(row, phase=phase, attempt=number, data=merged)

    def finish(self, row: JobRow) -> None:
        """Forget a job that is collected; part of the transaction that writes its resource's final state. Raises LeaseLost."""
        self._remove(row)
        if row.steps is not None:
            self.gates.remove(row.scope.account, row.id)


def _row(row: Any) -> JobRow:
    return JobRow(
        row.id, row.driver, Scope(row.account, row.region), row.kind, row.name, row.phase, row.attempt, row.created,
        documents.loads(row.data), row.resource, row.owner, row.status, row.steps,
    )  # fmt: skip
