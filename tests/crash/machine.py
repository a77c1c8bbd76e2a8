"""The processes of one server as /proc shows them: who may be killed, and what must not be left. It kills only what it is told to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from kenja_worker.shim import processes
from tests.conftest import RunningServer


@dataclass(frozen=True)
class Process:
    """One process; `session` is the process id of the leader of its session."""

    pid: int
    parent: int
    session: int
    command: str
    environment: str
    folder: str  # its working directory

    def mentions(self, word: str) -> bool:
        """True when the word is in its command line, its environment or its working directory."""
        return word in self.command or word in self.environment or word in self.folder


def all_processes() -> Iterator[Process]:
    """Every living process whose facts may be read."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            words = Path(f"/proc/{entry}/stat").read_text(errors="replace").rpartition(")")[2].split()
            command, environment = (
                Path(f"/proc/{entry}/{name}").read_bytes().decode(errors="replace").replace("\0", " ")
                for name in ("cmdline", "environ")
            )
            folder = os.readlink(f"/proc/{entry}/cwd")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or is somebody else's
        if words[0] not in "ZX":
            yield Process(int(entry), int(words[1]), int(words[3]), command, environment, folder)


def zygotes(server: RunningServer) -> list[int]:
    """The warm parents that the reconciler has started."""
    reconciler = server.children().get("reconciler")
    return [p.pid for p in all_processes() if p.parent == reconciler and "kenja_worker.shim.zygote" in p.command]


def shims(server: RunningServer) -> dict[int, Path]:
    """Running shims with the folders of their jobs or replicas."""
    found = {}
    for path in (server.data / "jobs").glob("*/pid"):
        try:
            identity = path.read_text()
        except FileNotFoundError:
            continue
        if processes.is_alive(identity):
            found[int(identity.split()[0])] = path.parent
    return found


def payload(shim: int) -> int | None:
    """The job's own process below its shim: the youngest descendant that has no child."""
    return max(processes.descendants(shim), default=None)


def own(server: RunningServer) -> set[int]:
    """The processes that a running server has when nothing is to be done: sessions of supervisor, children and zygotes."""
    return {server.process.pid, *server.children().values(), *zygotes(server)}


def strangers(server: RunningServer, word: str, replicas: Collection[int]) -> list[str]:
    """Processes that belong to this server (they know `word`) but neither to its own sessions nor to replicas: jobs, leftovers."""
    below = {pid for shim in replicas for pid in processes.descendants(shim)}
    sessions, here = own(server) | below | set(replicas), os.getsid(0)
    return [
        f"{p.pid} {p.command}"
        for p in all_processes()
        if p.mentions(word) and p.session not in sessions and p.pid not in sessions and p.session != here
    ]


def left(word: str) -> list[str]:
    """Processes that know `word`, once the server is gone."""
    me = os.getpid()
    return [f"{p.pid} {p.command}" for p in all_processes() if p.mentions(word) and p.pid != me]


def named_groups(folder: Path) -> set[str]:
    """The control groups that the shim of a job or replica has made, as its folder tells."""
    try:
        return set((folder / "groups").read_text().split())
    except FileNotFoundError:
        return set()


def mounts(word: str) -> list[str]:
    """Mounts of this namespace that name `word`."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if word in line]


def kill(pid: int) -> None:
    """kill -9, of a process that may have ended by itself."""
    processes.send(pid, signal.SIGKILL)


def settle(probe: object, seconds: float) -> object:
    """The last answer of `probe()`, asked until it is empty or the time is over."""
    assert callable(probe)
    end = time.monotonic() + seconds
    while (answer := probe()) and time.monotonic() < end:
        time.sleep(0.1)
    return answer
