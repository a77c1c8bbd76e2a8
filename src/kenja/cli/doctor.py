"""`kenja doctor`: what this machine can honour, by real trials. It changes nothing and needs no server."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kenja.cli.main import add_data
from kenja.core import config as settings
from kenja.core.config import Config
from kenja.runtimes.registry import all_runtimes
from kenja.runtimes.uv import find_uv
from kenja_worker.shim import ladder, limits

State = Literal["ok", "limited", "missing"]

GIB = 1 << 30  # bytes
ENOUGH_DISK = 5 * GIB  # for runtimes, overlays and a few models
ENOUGH_MEMORY = 2 * GIB  # for the server and one small job
MODULES = {  # module -> (what needs it, the command that installs it)
    "psycopg": ("state in PostgreSQL (--database-url)", "pip install 'kenja[postgres]'"),
    "boto3": ("the demo and the examples", "pip install 'kenja[demo]'"),
}


@dataclass(frozen=True)
class Finding:
    """One line of the report. `remedy` is what to do about it; empty when nothing needs to be done."""

    topic: str
    state: State
    text: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which data folder."""
    add_data(parser)


def run(options: argparse.Namespace) -> int:
    """Print the report; the exit status is 1 when something is missing that jobs need."""
    findings = report(settings.from_environment(data=options.data))
    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        print(f"{finding.state:<8} {finding.topic:<{width}}  {finding.text}")
        if finding.remedy:
            print(f"{'':<8} {'':<{width}}  → {finding.remedy}")
    return 1 if any(finding.state == "missing" for finding in findings) else 0


def report(config: Config) -> list[Finding]:
    """Everything that can be found out, the sandbox first."""
    parts = (_machine(config), _sandbox(config), _limiter(), _runtimes(config), _modules())
    return [finding for part in parts for finding in part]


def _machine(config: Config) -> Iterator[Finding]:
    yield Finding("system", "ok", f"{platform.system()} {platform.release()}, Python {platform.python_version()}")
    yield Finding("cores", "ok", f"{cores()} for this process")
    total, free = memory()
    few = (
        ""
        if total >= ENOUGH_MEMORY
        else f"jobs will wait or fail; {ENOUGH_MEMORY // GIB} GiB are enough for small ones"
    )
    yield Finding("memory", "limited" if few else "ok", f"{total / GIB:.1f} GiB, {free / GIB:.1f} GiB free", few)
    place = next(folder for folder in (config.data, *config.data.parents) if folder.exists())
    left = shutil.disk_usage(place).free
    short = (
        ""
        if left >= ENOUGH_DISK
        else f"free some space, or choose another folder by --data; {ENOUGH_DISK // GIB} GiB are enough to start"
    )
    yield Finding("disk", "limited" if short else "ok", f"{left / GIB:.1f} GiB free for {config.data}", short)


def _sandbox(config: Config) -> Iterator[Finding]:
    """One line per rung, then what follows from them."""
    rungs = ladder.probe()
    isolating = [rung.name for rung in rungs if rung.available and rung.name in ladder.ISOLATING]
    for rung in rungs:
        also = ", and with it the warm rung (a fork of a loaded zygote)" if rung.name == "namespaces" else ""
        text = f"available{also}" if rung.available else f"not available: {rung.reason}"
        remedy = "apt-get install bubblewrap" if rung.name == "bubblewrap" and not shutil.which("bwrap") else ""
        yield Finding(f"rung {rung.name}", "ok" if rung.available or isolating else "limited", text, remedy)
    if isolating and config.rung != "none":
        names = " or ".join(isolating)
        yield Finding("isolation", "ok", f"a job sees its own files only ({names}); the data folder is invisible to it")
        return
    why = "KENJA_RUNG is none" if config.rung == "none" else "no isolating rung is available"
    yield Finding(
        "isolation",
        "limited",
        f"{why}: jobs get copies of their inputs, and they CAN READ the data folder {config.data}; network isolation is refused",
        "run only scripts that you trust; user namespaces or bubblewrap bring isolation",
    )


def _limiter() -> Iterator[Finding]:
    name, reason = limits.probe()
    if name.startswith("cgroup"):
        yield Finding("limits", "ok", f"{name}: memory, CPU and processes of a job as a whole")
    else:
        yield Finding(
            "limits", "limited", f"{name}: {reason}", "a writable cgroup gives limits that hold for a job as a whole"
        )


def _runtimes(config: Config) -> Iterator[Finding]:
    uv = find_uv()
    if uv:
        yield Finding("uv", "ok", str(uv))
    else:
        text = "not installed: runtimes can not be built and requirements.txt of jobs can not be installed"
        yield Finding("uv", "missing", text, "pip install 'kenja[runtimes]'")
    for runtime in all_runtimes().values():
        place = runtime.location(config.runtimes)
        if runtime.is_built(config.runtimes):
            yield Finding(f"runtime {runtime.name}", "ok", f"{runtime.description} ({place})")
        else:
            text = f"not built: jobs of its images will fail ({place})"
            yield Finding(f"runtime {runtime.name}", "missing", text, f"kenja runtimes build {runtime.name}")


def _modules() -> Iterator[Finding]:
    for module, (need, command) in MODULES.items():
        if importlib.util.find_spec(module):
            yield Finding(f"module {module}", "ok", f"for {need}")
        else:
            yield Finding(f"module {module}", "limited", f"not installed; needed for {need}", command)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> tuple[int, int]:
    """Bytes of memory: all, and what could be had now."""
    table = Path("/proc/meminfo")
    if table.is_file():
        rows = dict(line.split(":", 1) for line in table.read_text().splitlines() if ":" in line)
        return int(rows["MemTotal"].split()[0]) * 1024, int(rows["MemAvailable"].split()[0]) * 1024
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total, total
