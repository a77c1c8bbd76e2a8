"""What a service declares to have jobs run: how to prepare one, what to note while it runs, how to end it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from kenja.kernel.context import Context
from kenja.kernel.resources.store import Record

if TYPE_CHECKING:
    from kenja.kernel.jobs.rows import JobRow

Cause = Literal["exit", "stopped", "timeout", "memory", "launch", "lost", "refused"]


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    `lost`: its processes died without a word (the machine, the shim). `refused`: `prepare` raised JobFailed, whose
    message is `reason`. The others are the shim's, whose whole status is `status`. Of `refused`, `lost` and
    `launch` nothing is left but the files that lie in the job's folder itself.
    """

    cause: Cause
    exit_code: int | None = None
    reason: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One job as its driver sees it: the call that made it (acting as its role), its resource, its folder."""

    context: Context
    record: Record
    row: JobRow
    folder: Path


@dataclass(frozen=True)
class Plan:
    """What `prepare` decided: the shim's spec, and what its zygote has loaded."""

    spec: Mapping[str, Any]  # see kenja_worker.shim.spec
    preload: tuple[str, ...] = ()  # modules of the warm zygote that may run it; empty: a cold start
    retries: int = 0  # new attempts after a job's processes died without a word


class Driver(Protocol):
    """Runs the jobs of one kind. Every method may be called again after a crash, with the same job, and must agree."""

    name: str  # "sagemaker:training"

    def role(self, record: Record) -> str:
        """The ARN of the role on whose behalf the job acts."""

    def prepare(self, job: Job) -> Plan:
        """Stage the inputs in the job's folder and say what to run. Raises JobFailed when it can not work."""

    def progress(self, job: Job, status: Mapping[str, Any]) -> None:
        """Note what a running job has done; called about once a second and before `finish`."""

    def finish(self, job: Job, outcome: Outcome) -> tuple[str, dict[str, Any]]:
        """Collect the outputs and tell the final status with the members to store. Raises JobFailed on its own account."""

    def moved(self, job: Job, record: Record) -> None:
        """Announce a change of state; called in the transaction that writes it."""
