"""Memory, core and process limits of one job: cgroup v2, else v1, else rlimits. Which one holds is said, what cannot be held too."""

from __future__ import annotations

import math
import os
import re
import resource
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from kenja_worker.shim.processes import send
from kenja_worker.shim.spec import Limits

_PERIOD = 100_000  # microseconds; the kernel's default for CPU quotas
_REMOVAL_SECONDS = 2.0


@dataclass
class Limiter:
    """`folders`: control groups made for the job, by controller. What they do not cover is left to `resources`."""

    name: str = "none"
    notes: list[str] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    resources: tuple[tuple[int, int], ...] = ()
    processors: int = 0

    def attach(self, pid: int) -> None:
        for folder in set(self.folders.values()):
            (folder / "cgroup.procs").write_text(str(pid))

    def ran_out_of_memory(self) -> bool:
        folder = self.folders.get("memory")
        if folder is None:
            return False
        name = "memory.events" if self.name == "cgroup-v2" else "memory.oom_control"
        found = re.search(r"^oom_kill (\d+)$", (folder / name).read_text(), re.MULTILINE)
        return found is not None and int(found[1]) > 0

    def close(self) -> None:
        """End what is left in the groups and remove them."""
        deadline = time.monotonic() + _REMOVAL_SECONDS
        for folder in set(self.folders.values()):
            while folder.exists():
                for pid in (folder / "cgroup.procs").read_text().split():
                    send(int(pid), signal.SIGKILL)
                try:
                    folder.rmdir()
                except OSError:  # busy until the last process is reaped
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)


def limit(job: str, limits: Limits) -> Limiter:
    """The best limiter that this machine allows for what is asked. Groups are made below our own, never above."""
    wanted = [name for name, value in _wanted(limits).items() if value]
    if not wanted:
        return Limiter()
    reasons: list[str] = []
    for name, make in (("cgroup-v2", _make_v2), ("cgroup-v1", _make_v1)):
        limiter = Limiter(name)
        try:
            make(limiter, f"kenja-{job}", limits, wanted)
        except OSError as error:
            limiter.close()
            reasons.append(f"{name}: {error.strerror or error}")
            continue
        return limiter
    return _by_resources(limits, reasons)


def probe() -> tuple[str, str]:
    """(limiter, reason) by a real trial with small limits."""
    limiter = limit(f"probe-{os.getpid()}", Limits(memory_bytes=1 << 30, cpus=1.0, pids=100))
    limiter.close()
    return limiter.name, "; ".join(limiter.notes)


def _wanted(limits: Limits) -> dict[str, float]:
    return {"memory": limits.memory_bytes, "cpu": limits.cpus, "pids": limits.pids}


def _make_v2(limiter: Limiter, name: str, limits: Limits, wanted: list[str]) -> None:
    mounted = next((where for kind, _, where in _mounts() if kind == "cgroup2"), None)
    own = _own_groups().get("")
    if mounted is None or own is None:
        raise OSError("not mounted")
    group = _below(mounted, own)
    for parent in (
        group,
        group.parent,
    ):  # a group with processes in it may not distribute controllers; the one above may
        available = (parent / "cgroup.controllers").read_text().split() if parent.is_relative_to(mounted) else []
        missing = sorted(set(wanted) - set(available))
        if missing:
            problem = OSError(f"controllers {missing} are not available in {parent}")
            continue
        try:
            (parent / "cgroup.subtree_control").write_text(" ".join(f"+{item}" for item in wanted))
            folder = parent / name
            folder.mkdir(exist_ok=True)
        except OSError as error:
            problem = error
            continue
        limiter.folders = dict.fromkeys(wanted, folder)
        settings = {
            "memory": [("memory.max", str(limits.memory_bytes)), ("memory.swap.max", "0")],
            "cpu": [("cpu.max", f"{math.ceil(limits.cpus * _PERIOD)} {_PERIOD}")],
            "pids": [("pids.max", str(limits.pids))],
        }
        _write(limiter, settings)
        return
    raise problem


def _make_v1(limiter: Limiter, name: str, limits: Limits, wanted: list[str]) -> None:
    own = _own_groups()
    mounted = {option: where for kind, options, where in _mounts() if kind == "cgroup" for option in options}
    missing = sorted(item for item in wanted if item not in mounted or item not in own)
    if missing:
        raise OSError(f"controllers {missing} are not mounted")
    for item in wanted:
        folder = _below(mounted[item], own[item]) / name
        folder.mkdir(exist_ok=True)  # two controllers may share one hierarchy
        limiter.folders[item] = folder
    memory = str(limits.memory_bytes)
    settings = {
        "memory": [("memory.limit_in_bytes", memory), ("memory.memsw.limit_in_bytes", memory)],
        "cpu": [("cpu.cfs_period_us", str(_PERIOD)), ("cpu.cfs_quota_us", str(math.ceil(limits.cpus * _PERIOD)))],
        "pids": [("pids.max", str(limits.pids))],
    }
    _write(limiter, settings)


def _write(limiter: Limiter, settings: dict[str, list[tuple[str, str]]]) -> None:
    for item, folder in limiter.folders.items():
        for name, value in settings[item]:
            if "sw" not in name or (folder / name).exists():  # swap is accounted only where the kernel was told to
                (folder / name).write_text(value)


def _by_resources(limits: Limits, reasons: list[str]) -> Limiter:
    limiter = Limiter("rlimit", [f"No control group could be had ({'; '.join(reasons)})."])
    resources: list[tuple[int, int]] = []
    if limits.memory_bytes:
        resources.append((resource.RLIMIT_AS, limits.memory_bytes))
        limiter.notes.append("The memory limit holds for each process by itself, as address space.")
    if limits.pids:
        resources.append((resource.RLIMIT_NPROC, limits.pids))
        limiter.notes.append("The limit of processes counts all of the job's user.")
    if limits.cpus:
        if hasattr(os, "sched_setaffinity"):
            limiter.processors = math.ceil(limits.cpus)
            limiter.notes.append(
                f"The limit of {limits.cpus} cores is kept by binding the job to {limiter.processors}."
            )
        else:
            limiter.notes.append(f"The limit of {limits.cpus} cores cannot be kept on this machine.")
    limiter.resources = tuple(resources)
    return limiter


def _own_groups() -> dict[str, str]:
    """Controller → our group's path; version 2 under the empty name."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except FileNotFoundError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), path)
    return found


def _mounts() -> list[tuple[str, list[str], Path]]:
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        found.append((kind, options.split(","), Path(left.split(" ")[4])))
    return found


def _below(mounted: Path, group: str) -> Path:
    """In a container the group's path may lie outside what is mounted; then the mount is our own group."""
    path = mounted / group.lstrip("/")
    return path if path.is_dir() else mounted
