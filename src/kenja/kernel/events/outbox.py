"""The outbox: events in EventBridge's shape, written in the transaction of the change and taken out when delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, delete, insert, select

from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.resources import documents
from kenja.kernel.resources.store import Scope
from kenja.kernel.resources.tables import OUTBOX


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` orders the events of a database."""

    id: int
    at: float  # seconds since the epoch, virtual clock
    scope: Scope
    source: str  # "aws.sagemaker"
    detail_type: str  # "SageMaker Training Job State Change"
    resources: tuple[str, ...]  # ARNs
    detail: Mapping[str, Any]


class Outbox:
    """Append inside the change's own transaction; `pending` and `delivered` are the delivery loop's."""

    def __init__(self, database: Database, clock: Clock, table: Table = OUTBOX) -> None:
        """`table` has the columns of OUTBOX: a busy subsystem has one in its own database."""
        self._database = database
        self._clock = clock
        self._table = table

    def append(
        self, scope: Scope, source: str, detail_type: str, resources: Sequence[str], detail: Mapping[str, Any]
    ) -> None:
        """Add an event; it is kept exactly when the surrounding transaction is."""
        values = {
            "at": self._clock.virtual(),
            "account": scope.account,
            "region": scope.region,
            "source": source,
            "detail_type": detail_type,
            "resources": documents.dumps(list(resources)),
            "detail": documents.dumps(dict(detail)),
        }
        with self._database.transaction() as connection:
            connection.execute(insert(self._table), values)

    def pending(self, limit: int = 100) -> list[Event]:
        """The oldest events that were not delivered yet."""
        with self._database.reading() as connection:
            rows = connection.execute(select(self._table).order_by(self._table.c.id).limit(limit)).all()
        return [
            Event(
                row.id, row.at, Scope(row.account, row.region), row.source, row.detail_type,
                tuple(documents.loads(row.resources)), documents.loads(row.detail),
            )
            for row in rows
        ]  # fmt: skip

    def delivered(self, ids: Sequence[int]) -> None:
        """Forget events that reached every target that wants them."""
        with self._database.transaction() as connection:
            connection.execute(delete(self._table).where(self._table.c.id.in_(list(ids))))
