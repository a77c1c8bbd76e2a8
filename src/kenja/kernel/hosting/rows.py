"""The table of replicas: one row for each that is wanted, leased by one reconciler at a time, gone with its resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import delete, insert, or_, select, update

from kenja.core import ids
from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.jobs.rows import LEASE
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
    serving: bool  # requests are routed to its resource
    data: dict[str, Any]
    status: str | None = None

    @property
    def folder(self) -> str:
        """Name of its folder; a new attempt never meets the files of the one before."""
        return f"{self.id}-{self.data.get('try', 0)}"


class ReplicaRows:
    """Thread safe, and safe between processes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def enqueue(self, record: Record, host: str, variant: str, count: int) -> None:
        """Want `count` replicas of a variant of a resource; part of the transaction that is open."""
        common = {
            "resource": record.id,
            "host": host,
            "account": record.scope.account,
            "region": record.scope.region,
            "kind": record.kind,
            "name": record.name,
            "variant": variant,
            "phase": "queued",
            "serving": 0,
            "owner": "",
            "lease_until": 0.0,
            "data": "{}",
        }
        with self._database.transaction() as connection:
            connection.execute(insert(REPLICA), [{"id": ids.token(20), **common} for _ in range(count)])

    def claim(self, owner: str, dead: Sequence[str] = ()) -> None:
        """Lease every replica that nobody owns, whose lease ran out, or whose owner is known to be dead."""
        now = self._clock.wall()
        free = or_(REPLICA.c.lease_until < now, REPLICA.c.owner == "", REPLICA.c.owner.in_(list(dead)))
        with self._database.reading() as connection:
            if connection.execute(select(REPLICA.c.id).where(free).limit(1)).first() is None:
                return
        with self._database.transaction() as connection:
            connection.execute(update(REPLICA).where(free).values(owner=owner, lease_until=now + LEASE))

    def renew(self, owner: str) -> None:
        """Keep all leases of `owner` for another LEASE seconds."""
        until = self._clock.wall() + LEASE
        with self._database.transaction() as connection:
            connection.execute(update(REPLICA).where(REPLICA.c.owner == owner).values(lease_until=until))

    def exists(self, replica: str) -> bool:
        """True for the id of a replica that is still wanted, whoever has leased it."""
        with self._database.reading() as connection:
            return connection.execute(select(REPLICA.c.id).where(REPLICA.c.id == replica)).first() is not None

    def owners(self) -> list[str]:
        """Everyone who holds a lease."""
        query = select(REPLICA.c.owner).where(REPLICA.c.owner != "").distinct()
        with self._database.reading() as connection:
            return [row.owner for row in connection.execute(query)]

    def owned(self, owner: str) -> list[ReplicaRow]:
        """The replicas that `owner` has leased."""
        return self._read(REPLICA.c.owner == owner)

    def of(self, resource: int) -> list[ReplicaRow]:
        """All replicas of one resource."""
        return self._read(REPLICA.c.resource == resource)

    def serving(self) -> list[ReplicaRow]:
        """All replicas of the resources that requests are routed to, whether they run now or not."""
        return self._read(REPLICA.c.serving == 1)

    def move(self, row: ReplicaRow, phase: Phase, **data: Any) -> ReplicaRow:
        """Write a replica's next phase; `data` is merged into what is known of it."""
        merged = {**row.data, **data}
        with self._database.transaction() as connection:
            connection.execute(
                update(REPLICA).where(REPLICA.c.id == row.id).values(phase=phase, data=documents.dumps(merged))
            )
        return replace(row, phase=phase, data=merged)

    def route(self, resource: int, *, serving: bool) -> None:
        """Let requests through to a resource, or no longer; part of the transaction that changes its status."""
        with self._database.transaction() as connection:
            connection.execute(update(REPLICA).where(REPLICA.c.resource == resource).values(serving=int(serving)))

    def forget(self, resource: int) -> None:
        """Remove the rows of a resource whose replicas have ended."""
        with self._database.transaction() as connection:
            connection.execute(delete(REPLICA).where(REPLICA.c.resource == resource))

    def _read(self, where: Any) -> list[ReplicaRow]:
        joined = REPLICA.outerjoin(RESOURCE, RESOURCE.c.id == REPLICA.c.resource)
        query = select(REPLICA, RESOURCE.c.status).select_from(joined).where(where)
        with self._database.reading() as connection:
            return [_row(row) for row in connection.execute(query.order_by(REPLICA.c.resource, REPLICA.c.id))]


def _row(row: Any) -> ReplicaRow:
    return ReplicaRow(
        row.id, row.resource, row.host, Scope(row.account, row.region), row.kind, row.name, row.variant, row.phase,
        bool(row.serving), documents.loads(row.data), row.status,
    )  # fmt: skip
