"""`kenja status`: what the server of a data folder is doing now. It only looks; what the machine can honour is `kenja doctor`'s."""

from __future__ import annotations

import argparse
import json
import os
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kenja.cli.main import add_data
from kenja.core import config as settings
from kenja.core.config import Config
from kenja.kernel.kernel import Kernel
from kenja.server import presence
from kenja_worker.shim import processes

HEALTH_SECONDS = 5.0  # that a healthy server has to answer
_FOLDERS = ("objects", "jobs", "telemetry", "runtimes", "backups")
_PARTS = {
    "kenja.server.gateway": "gateway",
    "kenja.server.reconciler": "reconciler",
    "kenja_worker.shim.zygote": "zygotes",
    "kenja_worker.modelserver": "replicas",
    "kenja_worker.shim": "jobs and their shims",
}


@dataclass
class Status:
    """`server`: "running", "not answering" or "stopped". Memory is proportional set size, disk what the files take; bytes."""

    data: str
    server: str
    endpoint: str = ""
    pid: int = 0
    accounts: int = 0
    jobs: dict[str, int] = field(default_factory=dict)  # phase → how many
    replicas: dict[str, int] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which data folder, which form."""
    add_data(parser)
    parser.add_argument("--database-url", metavar="URL", help="as given to `kenja serve`")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print it; the exit status is 0 when a server answers."""
    found = status(settings.from_environment(data=options.data, database_url=options.database_url))
    print(json.dumps(asdict(found), indent=2) if options.json else _text(found))
    return 0 if found.server == "running" else 1


def status(config: Config) -> Status:
    """Look at the processes, the rows and the files of a data folder; nothing is created where there is none."""
    present = presence.running(config.data)
    found = Status(os.fspath(config.data), "stopped")
    url = config.database_url
    if present is not None:
        found.server = "running" if _answers(f"http://{present.authority}") else "not answering"
        found.endpoint, found.pid = f"http://{present.authority}", present.pid
        found.memory = _memory(present.pid)
        url = url or present.database_url
    if url or (config.data / "kenja.db").exists():
        kernel = Kernel(Config(config.data, database_url=url))
        try:
            found.accounts = len(kernel.identity.accounts())
            found.jobs, found.replicas = kernel.jobs.phases(), kernel.hosting.phases()
        finally:
            kernel.close()
    found.disk = {name: _size(config.data / name) for name in _FOLDERS if (config.data / name).is_dir()}
    return found


def _answers(endpoint: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{endpoint}/_kenja/health", timeout=HEALTH_SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError):
        return False


def _memory(supervisor: int) -> dict[str, int]:
    """Of the server's processes by part; jobs in sessions of their own are below the reconciler or the first process."""
    totals: Counter[str] = Counter()
    for pid in (supervisor, *processes.descendants(supervisor)):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            rolled = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended, or belongs to a job's own user
        part = next(
            (name for module, name in _PARTS.items() if module in words), "supervisor" if pid == supervisor else "jobs"
        )
        totals[part] += sum(int(line.split()[1]) * 1024 for line in rolled.splitlines() if line.startswith("Pss:"))
    return dict(totals)


def _size(folder: Path) -> int:
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(path, name).lstat().st_blocks * 512  # as stat counts blocks
            except FileNotFoundError:
                continue  # a job's file, gone meanwhile
    return total


def _text(found: Status) -> str:
    where = f" at {found.endpoint} (process {found.pid})" if found.endpoint else ""
    lines = [f"server     {found.server}{where}", f"data       {found.data}"]
    if found.server == "stopped":
        lines.append(f"           start it with: kenja serve --data {found.data}")
    lines.append(f"accounts   {found.accounts}")
    lines += [f"jobs       {_counts(found.jobs)}", f"replicas   {_counts(found.replicas)}"]
    lines.append(f"memory     {_sizes(found.memory)}")
    lines.append(f"disk       {_sizes(found.disk)}")
    return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "none"


def _sizes(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {size / (1 << 20):.1f} MiB" for name, size in sizes.items()) or "none"
