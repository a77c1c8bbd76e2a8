"""The loop of jobs with real processes: what happens between its steps when stops, deletions, bugs and deaths come in."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kenja.core.clock import Clock
from kenja.core.config import Config
from kenja.kernel.jobs.backends import Observation
from kenja.kernel.jobs.backends.local import LocalBackend
from kenja.kernel.jobs.driver import Job, Outcome, Plan
from kenja.kernel.jobs.reconcile import JobLoop
from kenja.kernel.kernel import Kernel
from kenja.kernel.leases.loop import sweep
from kenja.kernel.resources.store import Record, Scope
from kenja_worker.shim import processes
from kenja_worker.shim.sandbox import interpreter_paths
from tests.conftest import wait_until

HERE = Scope("111111111111", "us-east-1")
KIND = "sagemaker:TrainingJob"
SLEEP = "import time\nprint('ready', flush=True)\ntime.sleep(100)\n"


class Trial:
    """Runs a program as a job; tests put their own steps into `during`."""

    name = "trial"

    def __init__(self) -> None:
        self.during: dict[str, Callable[[Job], None]] = {}
        self.retries = 0

    def role(self, record: Record) -> str:
        return f"arn:aws:iam::{record.scope.account}:role/Trial"

    def prepare(self, job: Job) -> Plan:
        self._step("prepare", job)
        code = job.folder / "code"
        code.mkdir()
        (code / "program.py").write_text(job.record.body["program"])
        spec = {
            "version": 1,
            "id": job.folder.name,
            "name": job.record.name,
            "kind": "training",
            "python": sys.executable,
            "readable": interpreter_paths(sys.executable),
            "module": "program",
            "argv": [],
            "inputs": [{"source": str(code), "target": "/opt/ml/program"}],
            "working_directory": "/opt/ml/program",
            "log_segment": str(job.folder / "log.jsonl"),
            "timeout_seconds": 60,
            "grace_seconds": 1,
        }
        return Plan(spec, retries=self.retries)

    def progress(self, job: Job, status: Mapping[str, Any]) -> None:
        self._step("progress", job)

    def finish(self, job: Job, outcome: Outcome) -> tuple[str, dict[str, Any]]:
        self._step("finish", job)
        members = {"Cause": outcome.cause, "Program": job.record.body["program"]}
        if outcome.cause == "exit" and outcome.exit_code == 0:
            return ("Stopped" if job.record.status == "Stopping" else "Completed"), members
        return ("Stopped" if outcome.cause == "stopped" else "Failed"), members

    def moved(self, job: Job, record: Record) -> None:
        self._step("moved", job)

    def _step(self, name: str, job: Job) -> None:
        if name in self.during:
            self.during[name](job)


class World:
    """One kernel with a loop that the test turns itself."""

    def __init__(self, kernel: Kernel, backend: LocalBackend, driver: Trial) -> None:
        self.kernel, self.backend, self.driver = kernel, backend, driver
        self.loop = JobLoop(kernel, backend, "host:1:1", slots=2)

    def start(self, name: str, program: str = "pass") -> Record:
        body = {"program": program}
        with self.kernel.store.transaction():
            record = self.kernel.store.insert(Record(HERE, KIND, name, f"arn:{name}", "InProgress", body))
            self.kernel.jobs.enqueue(record, self.driver.name)
        return record

    def get(self, name: str) -> Record | None:
        return self.kernel.store.get(HERE, KIND, name)

    def turn(self, until: Callable[[], Any], seconds: float = 30.0) -> Any:
        """Turn the loop until something is true."""

        def step() -> Any:
            self.loop.step(poked=True)
            return until()

        return wait_until(step, seconds, 0.02)

    def end(self, name: str) -> Record:
        """Turn the loop until a job is over."""
        self.turn(lambda: self.get(name).status in ("Completed", "Failed", "Stopped"))  # type: ignore[union-attr]
        record = self.get(name)
        assert record is not None
        self.turn(lambda: not self.kernel.jobs.owned("host:1:1"))
        return record

    def stop(self, name: str) -> None:
        """What StopTrainingJob writes."""
        record = self.get(name)
        assert record is not None
        assert self.kernel.store.change(record, status="Stopping", sources=frozenset({"InProgress"}))

    def folders(self) -> list[Path]:
        return list(self.kernel.config.jobs.iterdir())

    def shim(self) -> str:
        """Turn the loop until the only job runs its program; its shim's identity."""

        def ready() -> bool:
            return any("ready" in path.read_text() for path in self.kernel.config.jobs.glob("*/log.jsonl"))

        self.turn(ready)
        return next(self.kernel.config.jobs.glob("*/pid")).read_text()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    kernel = Kernel(Config(tmp_path / "data"))
    kernel.config.jobs.mkdir(parents=True)
    backend = LocalBackend(kernel.config.run / "zygotes", kernel.clock)
    driver = Trial()
    service = kernel.services.get("sagemaker")
    assert service is not None
    monkeypatch.setitem(service.drivers, driver.name, driver)
    made = World(kernel, backend, driver)
    yield made
    for folder in made.folders():
        backend.signal(folder, "kill")
    made.loop.close()
    kernel.close()
    backend.close()


def gone(identity: str) -> bool:
    return not processes.is_alive(identity)


def test_a_job_runs_and_is_collected(world: World) -> None:
    world.start("a", "print(1)")
    assert world.end("a").status == "Completed"
    world.turn(lambda: not world.folders(), 5)


def test_a_stop_while_outputs_are_collected_is_not_lost(world: World) -> None:
    world.driver.during["finish"] = lambda job: world.stop("a") if job.record.status == "InProgress" else None
    world.start("a")
    assert world.end("a").status == "Stopped"
    world.turn(lambda: not world.folders(), 5)


def test_a_bug_while_a_job_runs_ends_its_processes_with_it(world: World) -> None:
    def fail(_job: Job) -> None:
        raise ZeroDivisionError

    world.start("a", SLEEP)
    shim = world.shim()
    world.driver.during["progress"] = fail
    record = world.end("a")
    assert record.status == "Failed"
    assert record.body["FailureReason"].startswith("InternalServerError")
    wait_until(lambda: gone(shim))
    world.turn(lambda: not world.folders(), 5)


def test_a_new_resource_of_the_same_name_is_not_touched_by_the_job_of_the_old_one(world: World) -> None:
    world.start("a", SLEEP)
    shim = world.shim()
    world.kernel.store.empty(HERE.account)
    world.start("a", "print('new')")
    record = world.end("a")
    assert (record.status, record.body["Program"]) == ("Completed", "print('new')")
    wait_until(lambda: gone(shim))
    world.turn(lambda: not world.folders(), 5)


def test_a_retry_leaves_nothing_of_the_attempt_before(world: World) -> None:
    world.driver.retries = 1
    world.start("a", SLEEP)
    processes.send(int(world.shim().split()[0]), 9)
    world.turn(lambda: world.kernel.jobs.owned("host:1:1")[0].attempt == 2)
    world.turn(lambda: len(world.folders()) == 1, 5)
    processes.send(int(world.shim().split()[0]), 9)
    assert world.end("a").body["Cause"] == "lost"
    world.turn(lambda: not world.folders(), 5)


def test_a_broken_status_file_costs_its_own_job_only(world: World) -> None:
    world.start("a", SLEEP)
    shim = world.shim()
    (world.folders()[0] / "status.json").write_text("{")
    world.start("b", "print(1)")
    assert world.end("a").status == "Failed"
    assert world.end("b").status == "Completed"
    wait_until(lambda: gone(shim))


def test_a_server_that_ends_stops_a_job_that_is_just_being_started(world: World) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def wait(_job: Job) -> None:
        entered.set()
        go_on.wait(20)

    world.driver.during["prepare"] = wait
    world.start("a", SLEEP)
    world.start("b", SLEEP)
    world.start("waits", SLEEP)
    world.turn(entered.is_set)
    world.loop.stop_jobs()
    go_on.set()
    world.turn(lambda: not world.loop.at_work(), 20)
    assert [world.get(name).status for name in ("a", "b", "waits")] == ["Stopped", "Stopped", "InProgress"]  # type: ignore[union-attr]


def test_a_launch_that_was_late_ends_when_it_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start("a", SLEEP)
    shim = world.shim()
    (row,) = world.kernel.jobs.owned("host:1:1")
    world.kernel.jobs.move(row, "starting")  # as a reconciler left it that died before it knew of the launch
    honest = world.backend.observe
    answers = [Observation("absent")]  # what was true a moment before the shim wrote its pid
    monkeypatch.setattr(world.backend, "observe", lambda folder: answers.pop() if answers else honest(folder))
    world.turn(lambda: gone(shim))
    world.stop("a")
    assert world.end("a").status == "Stopped"


def test_an_event_that_can_not_be_written_does_not_turn_the_loop_for_ever(world: World) -> None:
    turns: list[str] = []

    def fail(job: Job) -> None:
        turns.append(job.row.id)
        raise ZeroDivisionError

    world.driver.during["moved"] = fail
    world.start("a", "print(1)")
    record = world.end("a")
    assert record.status == "Failed"
    assert len(turns) <= 2
    assert json.dumps(record.body)


def test_a_sweep_spares_the_folders_of_jobs_that_another_reconciler_owns(world: World) -> None:
    world.start("a", SLEEP)
    world.shim()
    other = JobLoop(world.kernel, world.backend, "host:2:2", slots=2)  # a server was killed; its reconciler dies slowly
    other.step(poked=True)
    (world.kernel.config.jobs / "0000-1").mkdir()
    sweep(world.kernel.config.jobs, other.knows)
    other.close()
    (folder,) = world.folders()
    assert world.backend.observe(folder).state == "running"


def test_a_loop_that_slept_through_its_lease_writes_nothing_any_more(world: World) -> None:
    other = JobLoop(world.kernel, world.backend, "host:2:2", slots=2)

    def lose(job: Job) -> None:
        if not world.kernel.jobs.owned("host:2:2"):
            world.kernel.jobs.claim("host:2:2", ["host:1:1"])
            job.record.body["program"] = "of the first loop"

    world.driver.during["finish"] = lose
    world.start("a", "print(1)")
    world.turn(lambda: world.kernel.jobs.owned("host:2:2"))
    world.turn(lambda: not world.loop.at_work())
    record = world.get("a")
    assert record is not None
    assert record.status == "InProgress", "the end that was found is no longer this loop's to tell"
    wait_until(lambda: not other.step(poked=True) and not world.kernel.jobs.owned("host:2:2"))
    record = world.get("a")
    assert record is not None
    assert (record.status, record.body["Program"]) == ("Completed", "print(1)")
    other.close()


class Jumping(Clock):
    """A wall clock that a test sets forwards and back; the monotonic one goes on as it does."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "ahead", 0.0)

    def wall(self) -> float:
        return super().wall() + self.ahead  # type: ignore[attr-defined, no-any-return]

    def jump(self, seconds: float) -> None:
        object.__setattr__(self, "ahead", self.ahead + seconds)  # type: ignore[attr-defined]


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_wall_clock_that_jumps_neither_ends_a_job_nor_runs_it_twice(world: World, seconds: float) -> None:
    clock = Jumping()
    world.kernel.clock = clock
    world.kernel.jobs._clock = clock
    other = JobLoop(world.kernel, world.backend, "host:2:2", slots=2)  # to whom every lease looks free after the jump
    started: list[str] = []
    world.driver.during["prepare"] = lambda job: started.append(job.folder.name)
    world.start("a", "import time\nprint('ready', flush=True)\ntime.sleep(2)\n")
    shim = world.shim()
    clock.jump(seconds)

    def ended() -> bool:
        other.step(poked=True)
        world.loop.step(poked=True)
        record = world.get("a")
        assert record is not None
        return record.status != "InProgress"

    wait_until(ended, 30)
    record = world.get("a")
    assert record is not None
    assert (record.status, record.body["Cause"], len(started)) == ("Completed", "exit", 1)
    assert gone(shim)
    wait_until(lambda: not other.step(poked=True) and not world.kernel.jobs.owned("host:2:2"))
    other.close()


@pytest.mark.parametrize("file", ["spec.json", "pid"])
def test_a_broken_file_in_a_folder_costs_its_own_job_only(world: World, file: str) -> None:
    world.start("a", SLEEP)
    shim = world.shim()
    (world.folders()[0] / file).write_bytes(b"\0{")
    world.start("b", "print(1)")
    world.turn(lambda: world.get("b").status == "Completed")  # type: ignore[union-attr]
    processes.send(int(shim.split()[0]), 9)
    assert world.end("a").status == "Failed"
    world.turn(lambda: not world.folders(), 10)
