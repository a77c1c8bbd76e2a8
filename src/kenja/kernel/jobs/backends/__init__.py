"""Backends run job folders and say what became of them; nothing above them knows which one is in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from kenja.kernel.jobs.driver import Plan

State = Literal["absent", "running", "exited", "lost"]


@dataclass(frozen=True)
class Observation:
    """`absent`: nothing was started in the folder. `lost`: its processes ended without a word. `status`: status.json, if any."""

    state: State
    status: Mapping[str, Any] | None = None


class Backend(Protocol):
    """Thread safe. A job is known by its folder alone, so that another process can take over at any moment."""

    def submit(self, folder: Path, plan: Plan) -> None:
        """Write spec.json and start the job. On return it is running, or its status.json says why it could not be started."""

    def observe(self, folder: Path) -> Observation:
        """What is true now; cheap."""

    def signal(self, folder: Path, what: Literal["stop", "kill"]) -> None:
        """`stop`: SIGTERM, the job's grace, SIGKILL. `kill`: at once, and it is over when this returns. Else nothing happens."""

    def logs(self, folder: Path) -> Path:
        """The log segment that the job writes."""

    def adopt(self, folder: Path) -> Observation:
        """Take over a folder that another process left; of a lost job everything that may be left is removed."""


__all__ = ["Backend", "Observation", "State"]
