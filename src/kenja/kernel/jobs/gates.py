"""Gates at which a test holds an account's jobs and lets them go on step by step. Whether one may is not asked here.

A held job waits at two places: before it starts, and after its process has ended, before its outputs are collected. A step
lets it pass one of them. What runs is never frozen, so that a held job does what it would do anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from kenja.kernel.database import Database
from kenja.kernel.resources import documents
from kenja.kernel.resources.tables import JOB, JOB_GATE

ACCOUNT = ""  # in place of a job's id: the gate that all new jobs of the account get
TAKEN = "steps_taken"  # in a job's data


@dataclass(frozen=True)
class Held:
    """A job behind a gate. It moves on while `granted` is more than `taken`."""

    job: str
    region: str
    kind: str
    name: str
    phase: str
    granted: int
    taken: int


class Gates:
    """Thread safe, and safe between processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, account: str) -> None:
        """Hold every job that the account creates from now on."""
        with self._database.transaction() as connection:
            if not self.is_held(account):
                connection.execute(insert(JOB_GATE), {"account": account, "job": ACCOUNT, "steps": 0})

    def is_held(self, account: str) -> bool:
        """True between `hold` and `release`."""
        query = select(JOB_GATE.c.job).where(JOB_GATE.c.account == account, JOB_GATE.c.job == ACCOUNT)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def put(self, account: str, job: str) -> None:
        """Hold one new job if its account's are held; part of the transaction that is open."""
        if self.is_held(account):
            with self._database.transaction() as connection:
                connection.execute(insert(JOB_GATE), {"account": account, "job": job, "steps": 0})

    def release(self, account: str) -> None:
        """Take all gates of the account away."""
        with self._database.transaction() as connection:
            connection.execute(delete(JOB_GATE).where(JOB_GATE.c.account == account))

    def remove(self, account: str, job: str) -> None:
        """Forget the gate of a job that is over; part of the transaction that is open."""
        with self._database.transaction() as connection:
            connection.execute(delete(JOB_GATE).where(JOB_GATE.c.account == account, JOB_GATE.c.job == job))

    def step(self, account: str, name: str = "") -> list[Held]:
        """Grant a step to every held job of the account, or to those called `name`; they are returned as they are then."""
        with self._database.transaction() as connection:
            chosen = [held.job for held in self.held(account) if name in ("", held.name)]
            gates = (JOB_GATE.c.account == account) & JOB_GATE.c.job.in_(chosen)
            connection.execute(update(JOB_GATE).where(gates).values(steps=JOB_GATE.c.steps + 1))
            return [held for held in self.held(account) if held.job in chosen]

    def held(self, account: str) -> list[Held]:
        """The account's jobs behind gates, oldest first."""
        joined = JOB.join(JOB_GATE, JOB_GATE.c.job == JOB.c.id)
        query = select(JOB, JOB_GATE.c.steps).select_from(joined).where(JOB_GATE.c.account == account)
        with self._database.reading() as connection:
            return [
                Held(row.id, row.region, row.kind, row.name, row.phase, row.steps, taken(documents.loads(row.data)))
                for row in connection.execute(query.order_by(JOB.c.created, JOB.c.resource))
            ]


def taken(data: dict[str, object]) -> int:
    """Steps that a job has taken, by what its row knows."""
    count = data.get(TAKEN, 0)
    assert isinstance(count, int)
    return count
