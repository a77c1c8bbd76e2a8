"""What a service declares to have models hosted: how to prepare a replica, and what to write when the whole of them changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kenja.kernel.context import Context
from kenja.kernel.jobs.driver import Plan
from kenja.kernel.resources.store import Record

if TYPE_CHECKING:
    from kenja.kernel.hosting.rows import ReplicaRow

SOCKET = "model.sock"  # in the replica's run folder; it appears when the model is loaded


@dataclass(frozen=True)
class Replica:
    """One replica as its host sees it, in a context that acts as the resource's role.

    `folder` is the attempt's own; `shared` belongs to all replicas of the resource's revision and lives as long as they do.
    """

    context: Context
    record: Record
    row: ReplicaRow
    folder: Path
    shared: Path


class Host(Protocol):
    """Runs the replicas of one kind of resource. Every method may be called again after a crash and must agree."""

    name: str
    wanted: frozenset[str]  # states of the resource in which its replicas are to run
    waiting: frozenset[str]  # those of them in which it waits for all replicas of its newest revision
    leaving: str  # the state in which the resource goes away once its replicas have ended

    def role(self, record: Record, row: ReplicaRow) -> str:
        """The ARN of the role on whose behalf a replica acts."""

    def prepare(self, replica: Replica) -> Plan:
        """Stage the model and say what to run; its socket must appear as SOCKET. Raises JobFailed."""

    def opened(self, context: Context, record: Record, revision: int) -> None:
        """All replicas of a revision answer and have all requests; called in a transaction."""

    def failed(self, context: Context, record: Record, revision: int, reason: str) -> None:
        """A revision that never served can not serve; called in a transaction. `reason` is a sentence."""

    def gone(self, context: Context, record: Record) -> None:
        """All replicas of a leaving resource have ended; called in a transaction."""
