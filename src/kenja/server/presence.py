"""Which server works on a data folder, and where it answers: a small file that the supervisor writes. Standard library only."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from kenja.core.config import Config
from kenja_worker.shim import processes

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a server that listens everywhere is met


@dataclass(frozen=True, slots=True)
class Presence:
    """A server that answers requests."""

    process: str  # `PID STARTTIME` of its supervisor
    host: str
    port: int
    database_url: str  # "" for SQLite in the data folder

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        return int(self.process.split()[0])

    @property
    def authority(self) -> str:
        """HOST:PORT for a client on this machine."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def alive(self) -> bool:
        """Whether it still runs."""
        return processes.is_alive(self.process)


def announce(config: Config) -> None:
    """Tell that this process's server is ready; readable by the owner only, as a database's address has a password."""
    host = _EVERY_ADDRESS.get(config.host, config.host)
    present = Presence(processes.identity(os.getpid()), host, config.port, config.database_url)
    draft = config.run / f".server-{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(present), file)
    draft.replace(_file(config.data))


def withdraw(config: Config) -> None:
    """Tell that it is ready no more."""
    _file(config.data).unlink(missing_ok=True)


def running(data: Path) -> Presence | None:
    """The ready server of a data folder, or None."""
    try:
        found = Presence(**json.loads(_file(data).read_text()))
    except FileNotFoundError:
        return None
    return found if found.alive() else None


def _file(data: Path) -> Path:
    return data / "run" / "server.json"
