"""How jobs end: by themselves, stopped, out of time, out of memory, by kill -9. Nothing may be left, and the status must be true."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from kenja_worker.shim import limits, processes
from kenja_worker.shim.spec import Limits
from tests.worker.shim_jobs import Job, rungs

SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"
ESCAPEE = (
    "import os, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        import ctypes; ctypes.CDLL(None).prctl(15, {name!r}.encode(), 0, 0, 0)\n"
    "        print('escaped', flush=True); time.sleep(60)\n"
    "    os._exit(0)\n"
    "time.sleep(0.3)\n"
)


@pytest.fixture(params=[*rungs(), "none"])
def rung(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def named(name: str) -> list[int]:
    """Processes of the machine that call themselves `name`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().strip() == name and processes.start_time(int(entry.name)):
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def gone(name: str) -> bool:
    deadline = time.monotonic() + 5
    while named(name) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not named(name)


def test_exit_code_is_kept(job: Job, rung: str) -> None:
    status = job.run("import sys; print('bad', file=sys.stderr); sys.exit(37)", rung=rung)
    assert (status["exit_code"], status["signal"], status["cause"]) == (37, None, "exit")
    assert status["stderr_tail"] == "bad"


def test_death_by_signal_is_told(job: Job, rung: str) -> None:
    status = job.run("import os; os.kill(os.getpid(), 11)", rung=rung)
    assert (status["exit_code"], status["signal"], status["cause"]) == (None, 11, "exit")


def test_failure_file_is_cut_at_1024_characters(job: Job) -> None:
    script = (
        "import os, sys\nos.makedirs('/opt/ml/output')\n"
        "open('/opt/ml/output/failure', 'w').write('é' * 3000)\nsys.exit(1)"
    )
    assert job.run(script)["failure"] == "é" * 1024


def test_traceback_is_the_end_of_stderr(job: Job) -> None:
    status = job.run("def train():\n    raise ValueError('no rows')\ntrain()\n")
    assert status["exit_code"] == 1
    assert status["stderr_tail"].splitlines()[-1] == "ValueError: no rows"
    assert "in train" in status["stderr_tail"]


def test_stop_lets_the_job_save_its_model(job: Job, rung: str) -> None:
    script = (
        "import os, signal, sys, time\n"
        "base = os.environ.get('SAGEMAKER_BASE_DIR', '/opt/ml')\n"
        "def save(*_): open(base + '/saved', 'w').write('x'); print('saved', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    job.write(script, rung=rung, grace_seconds=10)
    job.start()
    job.await_line("ready")
    job.signal(signal.SIGTERM)
    status = job.wait()
    assert (status["cause"], status["exit_code"]) == ("stopped", 0)
    assert (job.folder / "ml" / "saved").exists()


def test_job_that_ignores_stop_is_killed_after_grace(job: Job, rung: str) -> None:
    job.write("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER, rung=rung, grace_seconds=0.5)
    job.start()
    job.await_line("ready")
    began = time.monotonic()
    job.signal(signal.SIGTERM)
    status = job.wait()
    assert 0.5 <= time.monotonic() - began < 5
    assert (status["cause"], status["signal"]) == ("stopped", 9)


def test_kill_does_not_wait_for_grace(job: Job, rung: str) -> None:
    job.write("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER, rung=rung, grace_seconds=60)
    job.start()
    job.await_line("ready")
    job.signal(signal.SIGUSR1)
    assert job.wait()["cause"] == "stopped"


def test_hanging_job_ends_at_its_timeout(job: Job, rung: str) -> None:
    status = job.run(SLEEPER, rung=rung, timeout_seconds=1)
    assert (status["cause"], status["signal"]) == ("timeout", 15)
    assert status["ended"] - status["started"] < 10


def test_nothing_outlives_the_job(job: Job, rung: str) -> None:
    name = f"kj{os.getpid() % 10000}e"
    status = job.run(ESCAPEE.format(name=name), rung=rung)
    assert status["exit_code"] == 0
    assert "escaped" in job.lines()
    assert gone(name)


def test_kill_of_the_shim_ends_the_whole_tree(job: Job, rung: str) -> None:
    name = f"kj{os.getpid() % 10000}k"
    job.write(ESCAPEE.format(name=name) + "time.sleep(60)\n", rung=rung)
    job.start()
    job.await_line("escaped")
    assert named(name)
    job.signal(signal.SIGKILL)
    assert job.process is not None
    job.process.wait(5)
    assert gone(name)


def test_second_shim_leaves_a_running_job_alone(job: Job) -> None:
    job.write(SLEEPER)
    job.start()
    job.await_line("ready")
    first, before = job.process, (job.folder / "pid").read_text()
    job.start()
    assert job.process is not None
    assert job.process.wait(10) == 70
    assert (job.folder / "pid").read_text() == before
    job.process = first
    job.signal(signal.SIGUSR1)
    assert job.wait()["cause"] == "stopped"


def test_fork_bomb_is_held_by_the_limit_of_processes(job: Job) -> None:
    if limits.probe()[0] not in ("cgroup-v1", "cgroup-v2"):
        pytest.fail("no control group here: a fork bomb must not be tried")
    script = (
        "import os, time\ncount = 0\n"
        "try:\n"
        "    while count < 500:\n"
        "        if os.fork() == 0: time.sleep(30); os._exit(0)\n"
        "        count += 1\n"
        "except OSError as error: print('held', error.errno, count < 40, flush=True)\n"
    )
    status = job.run(script, limits={"pids": 40}, timeout_seconds=10)
    assert status["exit_code"] == 0
    assert status["limiter"].startswith("cgroup")
    assert "held 11 True" in job.lines()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/kenja-{job.folder.name}"))


def test_too_much_memory_is_the_cause(job: Job) -> None:
    script = "data = []\nwhile True: data.append(bytearray(16 << 20))\n"
    status = job.run(script, limits={"memory_bytes": 200 << 20})
    assert status["cause"] == "memory", status
    assert any("bytes of memory" in line for line in job.lines())


def test_share_of_cores_is_kept(job: Job) -> None:
    script = "import time\nstart = time.process_time()\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass\nprint(time.process_time() - start < 0.9)\n"
    assert job.run(script, limits={"cpus": 0.3})["exit_code"] == 0
    assert job.lines()[-1] == "True"


def test_rlimits_stand_in_for_control_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_mounts", list)
    limiter = limits.limit("none-here", Limits(memory_bytes=1 << 30, cpus=1.5, pids=10))
    assert limiter.name == "rlimit"
    assert limiter.processors == 2
    assert len(limiter.resources) == 2
    assert any("each process by itself" in note for note in limiter.notes)


def test_unreadable_spec_ends_as_launch_failure(job: Job) -> None:
    job.write("print('never')")
    (job.folder / "spec.json").write_text('{"version": 1, "kind": "training"}')
    job.start()
    status = job.wait()
    assert status["cause"] == "launch"
    assert "missing" in status["stderr_tail"]


def test_missing_interpreter_is_a_launch_failure(job: Job) -> None:
    status = job.run("print('never')", python="/usr/bin/no-such-python", rung="namespaces")
    assert (status["cause"], status["state"]) == ("launch", "exited")
    assert "no-such-python" in status["stderr_tail"]
