"""Process facts from /proc: start times (against reused ids), descendants, killing a whole tree. Starts nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

_KILL_ROUNDS = 200  # a tree that forks while it is killed is swept again; 10 ms between rounds


def start_time(pid: int) -> str | None:
    """When process `pid` started, as an opaque word; None if it is gone or only waits to be reaped."""
    if os.uname().sysname != "Linux":
        answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return "_".join(answer.stdout.split()) or None
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else fields[19]


def identity(pid: int) -> str:
    """`PID STARTTIME`, what a job's pid file holds."""
    return f"{pid} {start_time(pid) or 0}"


def is_alive(identity_line: str) -> bool:
    """Whether the very process that a pid file names still runs; another one that got its number does not count."""
    words = identity_line.split()
    return len(words) == 2 and words[0].isdigit() and start_time(int(words[0])) == words[1]


def children(pid: int) -> list[int]:
    return _families().get(pid, [])


def descendants(pid: int) -> list[int]:
    """Children, their children and so on, by what /proc shows now."""
    families = _families()
    found: list[int] = []
    front = [pid]
    while front:
        front = [child for parent in front for child in families.get(parent, ())]
        found.extend(front)
    return found


def _families() -> dict[int, list[int]]:
    """Parent → its living children, of the whole machine."""
    found: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        fields = _stat(int(entry)) if entry.isdigit() else None
        if fields is not None and fields[0] not in "ZX":
            found.setdefault(int(fields[1]), []).append(int(entry))
    return found


def kill_descendants(pid: int) -> bool:
    """SIGKILL all of them until none is left; False if some could not be ended (they belong to somebody else)."""
    for _ in range(_KILL_ROUNDS):
        remaining = descendants(pid)
        if not remaining:
            return True
        for victim in remaining:
            send(victim, signal.SIGKILL)
        time.sleep(0.01)
    return False


def send(pid: int, number: int) -> bool:
    """Send a signal; False if there is no such process any more."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on (the name before them may hold spaces and brackets)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
