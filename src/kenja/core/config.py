"""Where the platform keeps its things and where it listens; read once from arguments and environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 4566
DEFAULT_REGION = "us-east-1"
DEFAULT_ACCOUNT = "000000000000"
OBJECT_OWNERSHIPS = (
    "BucketOwnerEnforced",
    "BucketOwnerPreferred",
    "ObjectWriter",
)  # of S3's model; the first is AWS's default


@dataclass(frozen=True)
class Config:
    """One server's settings. `database_url` is a SQLAlchemy URL; empty means SQLite files in `data`."""

    data: Path
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    database_url: str = ""
    runtimes: Path = Path("/nonexistent")
    allow_reset: bool = False
    object_ownership: str = (
        "BucketOwnerEnforced"  # of new S3 buckets that name none; else they are as before April 2023
    )
    rung: str = "auto"  # the highest rung of the sandbox ladder that jobs may use: auto, warm, bubblewrap, none

    @property
    def endpoint(self) -> str:
        """The address that clients and jobs use."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def run(self) -> Path:
        """Sockets and pid files of the running server; worth nothing after it stops."""
        return self.data / "run"

    @property
    def jobs(self) -> Path:
        """One folder per job and per replica."""
        return self.data / "jobs"


def data_folder(environment: Mapping[str, str]) -> Path:
    """KENJA_DATA, else `kenja` under XDG_DATA_HOME, else `~/.local/share/kenja`."""
    if chosen := environment.get("KENJA_DATA"):
        return Path(chosen).absolute()
    base = environment.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "kenja"


def _runtimes_folder(environment: Mapping[str, str], data: Path) -> Path:
    """KENJA_RUNTIMES, else the `.runtimes` that set-up built beside this virtual environment, else one in the data folder."""
    if chosen := environment.get("KENJA_RUNTIMES"):
        return Path(chosen).absolute()
    beside = Path(sys.prefix).parent / ".runtimes"
    return beside if beside.is_dir() else data / "runtimes"


def _object_ownership(environment: Mapping[str, str]) -> str:
    """KENJA_OBJECT_OWNERSHIP: ObjectWriter or BucketOwnerPreferred for clients that still use access control lists."""
    chosen = environment.get("KENJA_OBJECT_OWNERSHIP", OBJECT_OWNERSHIPS[0])
    if chosen not in OBJECT_OWNERSHIPS:
        raise ValueError(f"KENJA_OBJECT_OWNERSHIP is {chosen!r}; it must be one of {', '.join(OBJECT_OWNERSHIPS)}")
    return chosen


def from_environment(
    environment: Mapping[str, str] = os.environ,
    *,
    data: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    database_url: str | None = None,
    allow_reset: bool = False,
    rung: str | None = None,
) -> Config:
    """The settings of a server: an argument that is given wins over the environment, that over the default."""
    folder = (data or data_folder(environment)).absolute()
    return Config(
        data=folder,
        host=host or environment.get("KENJA_HOST", DEFAULT_HOST),
        port=DEFAULT_PORT if port is None else port,
        database_url=database_url or environment.get("KENJA_DATABASE_URL", ""),
        runtimes=_runtimes_folder(environment, folder),
        allow_reset=allow_reset,
        object_ownership=_object_ownership(environment),
        rung=rung or environment.get("KENJA_RUNG", "auto"),
    )
