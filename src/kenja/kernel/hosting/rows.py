"""The table of replicas: one row for each that is wanted, leased by one reconciler at a time, gone with its resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, delete, insert, select, update

from kenja.core import ids
from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.leases import LeasedRows
from kenja.kernel.leases.rows import folder_name
from kenja.kernel.resources import documents
from kenja.kernel.resources.store import Record, Scope
from kenja.kernel.resources.tables import REPLICA, RESOURCE

Phase = Literal["queued", "starting", "launched", "ready", "ended"]


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """One replica. `status` is its resource's status as the row was read; None when the resource is gone."""

    id: str
    resource: int  # id of its resource's record, never given twice
    host: str
    scope: Scope
    kind: str
    name: str
    variant: str
    phase: Phase
    serving: bool  # requests are routed to it
    data: dict[str, Any]
    revision: int = 1  # of its resource
    retired: bool = False  # it is to end though its resource goes on
    weight: float = 1.0  # of its variant among the requests of its resource
    owner: str = ""  # who had leased it as the row was read
    status: str | None = None

    @property
    def folder(self) -> str:
        """Name of its attempt's folder."""
        return folder_name(self.id, self.data)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Replicas of one variant of one revision."""

    variant: str
    revision: int
    count: int
    weight: float


class ReplicaRows(LeasedRows[ReplicaRow]):
    """Thread safe, and safe between processes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock, REPLICA)

    def enqueue(self, record: Record, host: str, wanted: Wanted, *, serving: bool = False) -> None:
        """Want replicas of a variant; part of the transaction that is open. `serving`: requests go to them once they are ready."""
        common = {
            "resource": record.id,
            "host": host,
            "account": record.scope.account,
            "region": record.scope.region,
            "kind": record.kind,
            "name": record.name,
            "variant": wanted.variant,
            "revision": wanted.revision,
            "weight": wanted.weight,
            "retired": 0,
            "phase": "queued",
            "serving": int(serving),
            "owner": "",
            "lease_until": 0.0,
            "data": "{}",
        }
        with self._database.transaction() as connection:
            connection.execute(insert(REPLICA), [{"id": ids.token(20), **common} for _ in range(wanted.count)])

    def weigh(self, resource: int, revision: int, variant: str, weight: float) -> None:
        """Change a variant's share of the requests; part of the transaction that is open."""
        replica = REPLICA.c
        which = and_(replica.resource == resource, replica.revision == revision, replica.variant == variant)
        with self._database.transaction() as connection:
            connection.execute(update(REPLICA).where(which).values(weight=weight))

    def retire(self, rows: Sequence[ReplicaRow]) -> None:
        """Let no more requests through to replicas, and end them; part of the transaction that is open."""
        with self._database.transaction() as connection:
            chosen = REPLICA.c.id.in_([row.id for row in rows])
            connection.execute(update(REPLICA).where(chosen).values(serving=0, retired=1))

    def of(self, resource: int) -> list[ReplicaRow]:
        """All replicas of one resource."""
        return self._read(REPLICA.c.resource == resource)

    def serving(self) -> list[ReplicaRow]:
        """All replicas of the resources that requests are routed to, whether they run now or not."""
        return self._read(REPLICA.c.serving == 1)

    def move(self, row: ReplicaRow, phase: Phase, **data: Any) -> ReplicaRow:
        """Write a replica's next phase; `data` is merged into what is known of it. Raises LeaseLost."""
        merged = {**row.data, **data}
        self._write(row, phase=phase, data=documents.dumps(merged))
        return replace(row, phase=phase, data=merged)

    def open(self, resource: int, revision: int) -> None:
        """Let requests through to one revision of a resource and retire the others; part of the transaction that is open."""
        replica = REPLICA.c
        with self._database.transaction() as connection:
            ours = and_(replica.resource == resource, replica.revision == revision, replica.retired == 0)
            connection.execute(update(REPLICA).where(ours).values(serving=1))
            others = and_(replica.resource == resource, replica.revision != revision)
            connection.execute(update(REPLICA).where(others).values(serving=0, retired=1))

    def close(self, resource: int) -> None:
        """Let no more requests through to a resource; part of the transaction that is open."""
        with self._database.transaction() as connection:
            connection.execute(update(REPLICA).where(REPLICA.c.resource == resource).values(serving=0))

    def remove(self, row: ReplicaRow) -> None:
        """Forget a retired replica that has ended. Raises LeaseLost."""
        self._remove(row)

    def forget(self, resource: int) -> None:
        """Remove the rows of a resource whose replicas have ended."""
        with self._database.transaction() as connection:
            connection.execute(delete(REPLICA).where(REPLICA.c.resource == resource))

    def _read(self, where: ColumnElement[bool]) -> list[ReplicaRow]:
        """Replicas, those of one resource together."""
        joined = REPLICA.outerjoin(RESOURCE, RESOURCE.c.id == REPLICA.c.resource)
        query = select(REPLICA, RESOURCE.c.status).select_from(joined).where(where)
        with self._database.reading() as connection:
            return [_row(row) for row in connection.execute(query.order_by(REPLICA.c.resource, REPLICA.c.id))]


def _row(row: Any) -> ReplicaRow:
    return ReplicaRow(
        row.id, row.resource, row.host, Scope(row.account, row.region), row.kind, row.name, row.variant, row.phase,
        bool(row.serving), documents.loads(row.data), row.revision, bool(row.retired), row.weight, row.owner, row.status,
    )  # fmt: skip
