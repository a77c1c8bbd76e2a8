"""The local backend with real shims and zygotes: warm and cold starts, adoption by folder, death of every process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kenja.core.clock import Clock
from kenja.kernel.jobs.backends import Observation
from kenja.kernel.jobs.backends.local import LocalBackend
from kenja.kernel.jobs.driver import Plan
from kenja_worker.shim import processes
from tests.worker.shim_jobs import SOURCE, Job

PRELOAD = ("json", "decimal")
REUSED = f"{os.getpid()} 12345\n"  # our own number, another start time
SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def backend(data_folder: Path) -> Iterator[LocalBackend]:
    backend = LocalBackend(data_folder / "run" / "zygotes", Clock())
    yield backend
    backend.close()
    assert zygotes(data_folder) == []


@pytest.fixture
def start(backend: LocalBackend, job: Job) -> Iterator[Callable[..., None]]:
    def submit(script: str, preload: tuple[str, ...] = PRELOAD, **changes: object) -> None:
        job.write(script, **changes)
        backend.submit(job.folder, Plan(json.loads((job.folder / "spec.json").read_bytes()), preload))

    yield submit
    backend.signal(job.folder, "kill")
    finish(backend, job.folder)


def finish(backend: LocalBackend, folder: Path) -> Observation:
    deadline = time.monotonic() + 20
    while (seen := backend.observe(folder)).state == "running" and time.monotonic() < deadline:
        time.sleep(0.01)
    pid = folder / "pid"
    while pid.exists() and pid.read_text() != REUSED and processes.is_alive(pid.read_text()):
        time.sleep(0.01)  # the status is written before the shim's last step
    backend.observe(folder)  # reaps
    return seen


def zygotes(data_folder: Path) -> list[int]:
    """Processes whose working folder is the zygotes' one."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and Path(os.readlink(entry / "cwd")) == data_folder / "run" / "zygotes":
                command = (entry / "cmdline").read_bytes()
                if b"zygote" in command and os.getsid(int(entry.name)) == int(entry.name) and not shim_of(entry):
                    found.append(int(entry.name))
        except OSError:  # gone meanwhile, or not ours to look at
            continue
    return found


def shim_of(entry: Path) -> bool:
    """A warm shim looks like its zygote, but writes into its job's folder."""
    return os.readlink(entry / "fd" / "1").endswith("shim.log")


def status_of(seen: Observation) -> dict[str, object]:
    assert seen.state == "exited", seen
    assert seen.status is not None
    return dict(seen.status)


def test_warm_job_finds_its_libraries_imported(backend: LocalBackend, job: Job, start: Callable[..., None]) -> None:
    start("import sys\nprint('decimal' in sys.modules, sys.argv[1:])\nraise SystemExit(3)", argv=["a", "b"])
    status = status_of(finish(backend, job.folder))
    assert (status["rung"], status["exit_code"], status["cause"]) == ("warm", 3, "exit")
    assert job.lines()[-1] == "True ['a', 'b']"


def test_job_without_preload_starts_cold(backend: LocalBackend, job: Job, start: Callable[..., None]) -> None:
    start("print('x')", preload=())
    assert status_of(finish(backend, job.folder))["rung"] == "namespaces"


def test_uncaught_error_of_a_warm_job_reaches_stderr(
    backend: LocalBackend, job: Job, start: Callable[..., None]
) -> None:
    start("import atexit\natexit.register(print, 'at exit')\nraise KeyError('column')")
    status = status_of(finish(backend, job.folder))
    assert status["exit_code"] == 1
    assert str(status["stderr_tail"]).splitlines()[-1] == "KeyError: 'column'"
    assert "at exit" in job.lines()


def test_platform_secrets_do_not_reach_a_warm_job(
    backend: LocalBackend, job: Job, start: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KENJA_DATABASE_URL", "postgresql://user:PASSWORD@host/db")
    start("print('PASSWORD' in open('/proc/self/environ').read() + open('/proc/self/cmdline').read())")
    assert status_of(finish(backend, job.folder))["exit_code"] == 0
    assert job.lines()[-1] == "False"


def test_stop_reaches_a_warm_job_at_once_after_submit(
    backend: LocalBackend, job: Job, start: Callable[..., None]
) -> None:
    start(SLEEPER)
    backend.signal(job.folder, "stop")
    assert status_of(finish(backend, job.folder))["cause"] == "stopped"


def test_warm_job_outlives_its_zygote_and_is_adopted(
    backend: LocalBackend, job: Job, start: Callable[..., None], data_folder: Path
) -> None:
    start(SLEEPER)
    job.await_line("ready")
    (zygote,) = zygotes(data_folder)
    os.kill(zygote, signal.SIGKILL)
    other = LocalBackend(data_folder / "run" / "zygotes", Clock())
    assert other.adopt(job.folder).state == "running"
    other.signal(job.folder, "stop")
    assert status_of(finish(other, job.folder))["signal"] == 15


def test_zygote_retires_with_the_process_that_started_it(data_folder: Path, job: Job) -> None:
    job.write("print('ran')")
    program = (
        "import json, os, pathlib, sys\n"
        "from kenja.core.clock import Clock\n"
        "from kenja.kernel.jobs.backends.local import LocalBackend\n"
        "from kenja.kernel.jobs.driver import Plan\n"
        "data, folder = map(pathlib.Path, sys.argv[1:])\n"
        "spec = json.loads((folder / 'spec.json').read_bytes())\n"
        "LocalBackend(data / 'run' / 'zygotes', Clock()).submit(folder, Plan(spec, ('json',)))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", program, str(data_folder), str(job.folder)]
    subprocess.run(command, env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]}, check=False)
    assert status_of(finish(LocalBackend(data_folder / "run" / "zygotes", Clock()), job.folder))["rung"] == "warm"
    deadline = time.monotonic() + 5
    while zygotes(data_folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert zygotes(data_folder) == []


def test_dead_zygote_is_replaced(
    backend: LocalBackend, job: Job, start: Callable[..., None], data_folder: Path
) -> None:
    start("print('first')")
    finish(backend, job.folder)
    (zygote,) = zygotes(data_folder)
    os.kill(zygote, signal.SIGKILL)
    start("print('second')")
    assert status_of(finish(backend, job.folder))["rung"] == "warm"
    assert zygotes(data_folder) != [zygote]


def test_module_that_cannot_be_preloaded_means_a_cold_start(
    backend: LocalBackend, job: Job, start: Callable[..., None]
) -> None:
    start("print('ran')", preload=("no_such_module",))
    assert status_of(finish(backend, job.folder))["rung"] == "namespaces"
    assert job.lines()[-1] == "ran"


def test_killed_shim_is_lost_and_its_groups_are_removed(
    backend: LocalBackend, job: Job, start: Callable[..., None]
) -> None:
    start(SLEEPER, limits={"pids": 50})
    job.await_line("ready")
    job.signal(signal.SIGKILL)
    assert finish(backend, job.folder).state == "lost"
    time.sleep(0.2)
    assert backend.adopt(job.folder).state == "lost"
    groups = (job.folder / "groups").read_text().splitlines()
    assert not any(Path(group).exists() for group in groups)


def test_number_of_another_process_is_not_taken_for_the_job(backend: LocalBackend, job: Job) -> None:
    job.write(SLEEPER)
    (job.folder / "pid").write_text(REUSED)
    assert backend.observe(job.folder).state == "lost"
    backend.signal(job.folder, "kill")  # this very process would be hit


def test_folder_in_which_nothing_was_started_is_absent(backend: LocalBackend, job: Job) -> None:
    assert backend.observe(job.folder) == Observation("absent")


def test_spec_that_the_shim_refuses_is_a_launch_failure(backend: LocalBackend, job: Job) -> None:
    backend.submit(job.folder, Plan({"version": 1, "python": sys.executable}))
    status = status_of(finish(backend, job.folder))
    assert status["cause"] == "launch"
    assert "missing" in str(status["stderr_tail"])


def test_logs_are_where_the_spec_says(backend: LocalBackend, job: Job, start: Callable[..., None]) -> None:
    start("print('x')")
    assert backend.logs(job.folder) == job.folder / "log.jsonl"


def test_what_a_lost_job_left_in_its_control_group_is_ended_and_troubles_nobody(
    backend: LocalBackend, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kenja.kernel.jobs.backends.local.KILL", 0.2)
    folder, group = data_folder / "jobs" / "lost", data_folder / "group"
    for made in (folder, group):
        made.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as left:
        (group / "cgroup.procs").write_text(
            f"{left.pid}\n"
        )  # a folder that is not empty: rmdir fails, as on a busy group
        (folder / "groups").write_text(f"{group}\n{data_folder / 'gone'}\n")
        (folder / "pid").write_text(REUSED)
        assert backend.adopt(folder).state == "lost"
        assert left.wait(10) == -signal.SIGKILL
