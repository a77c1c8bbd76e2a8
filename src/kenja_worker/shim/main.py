"""One job from its folder to its status.json: read the spec, set limits, launch, supervise, report. Cold by command, warm by the zygote."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kenja_worker.shim.child import Child
from kenja_worker.shim.feeder import Feeders
from kenja_worker.shim.files import read_beneath, write_atomically
from kenja_worker.shim.ladder import LaunchError, launch
from kenja_worker.shim.limits import Limiter, limit
from kenja_worker.shim.output import LogWriter, MetricReader
from kenja_worker.shim.processes import identity
from kenja_worker.shim.spec import Spec, SpecError, read_spec
from kenja_worker.shim.supervise import Outcome, Signals, Supervisor

_FAILURE_LENGTH = 1024  # characters of /opt/ml/output/failure that become FailureReason; SageMaker developer guide
_LAUNCH_EXIT = 70  # sysexits.h EX_SOFTWARE


@dataclass
class Status:
    """status.json, in the order in which people read it."""

    state: str = "running"
    rung: str = ""
    limiter: str = ""
    notes: list[str] = field(default_factory=list)
    started: float = 0.0
    ended: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    cause: str | None = None
    failure: str = ""
    stderr_tail: str = ""

    def write(self, folder: Path) -> None:
        content = json.dumps(asdict(self), ensure_ascii=False).encode(errors="backslashreplace")
        write_atomically(folder / "status.json", content, durable=self.state == "exited")


def command(arguments: list[str]) -> int:
    """The cold shim; its exit code is only for people, status.json is what counts."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m kenja_worker.shim JOBDIR")
    if os.getpgrp() != os.getpid():  # a group's leader may not make a session; whoever started it as one has made it
        os.setsid()
    return run(Path(arguments[0]).absolute(), warm=False)


def run(folder: Path, *, warm: bool) -> int:
    """Never raises: what goes wrong ends in status.json with cause "launch", and in shim.log with its traceback."""
    signals = Signals.install()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the zygote forks with signals held back until now
    try:
        lock = os.open(folder / "spec.json", os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"Another shim already runs {folder}; this one leaves.", flush=True)
        return _LAUNCH_EXIT
    except FileNotFoundError as error:
        print(f"There is no job to run: {error}", flush=True)
        return _LAUNCH_EXIT
    write_atomically(folder / "pid", f"{identity(os.getpid())}\n".encode())
    status = Status(started=time.time())
    try:
        _run(folder, read_spec(folder / "spec.json"), status, signals, warm)
    except (LaunchError, SpecError) as error:
        status.cause, status.stderr_tail = "launch", str(error)
    except BaseException as error:
        traceback.print_exc()
        status.cause, status.stderr_tail = "launch", f"The shim failed: {type(error).__name__}: {error}"
    status.state, status.ended = "exited", time.time()
    status.write(folder)
    return 0 if status.cause == "exit" and status.exit_code == 0 else 1


def _run(folder: Path, spec: Spec, status: Status, signals: Signals, warm: bool) -> None:
    log = LogWriter(Path(spec.log_segment))
    limiter = Limiter()
    child: Child | None = None
    feeders = Feeders()
    try:
        limiter = limit(spec.id, spec.limits)
        groups = "".join(f"{group}\n" for group in set(limiter.folders.values()))
        write_atomically(folder / "groups", groups.encode())  # for whoever cleans up if this process cannot
        metrics = MetricReader(spec.metrics, folder / "metrics.jsonl")
        feeders.start(folder, spec.pipes)
        launched = launch(folder, spec, limiter, warm=warm)
        child = launched.child
        status.rung, status.limiter = launched.rung, limiter.name
        status.notes = [*launched.notes, *limiter.notes, *metrics.notes]
        log.note("\n".join([f"Sandbox: {status.rung}. Limits: {status.limiter}.", *status.notes]))
        status.write(folder)
        outcome = Supervisor(spec, child, log, metrics, signals).run()
        child = None
        _record(folder, status, outcome, limiter)
        if broken := feeders.end():
            log.note(broken)
            status.exit_code, status.failure = status.exit_code or 1, broken[:_FAILURE_LENGTH]
        if status.cause == "launch":
            log.note(f"The job could not be started: {status.stderr_tail}")
        if status.cause == "memory":
            log.note(f"The job needed more than its {spec.limits.memory_bytes} bytes of memory and was ended.")
        metrics.close()
    except LaunchError as error:
        log.note(f"The job could not be started: {error}")
        raise
    finally:
        if child is not None:
            child.kill()
        feeders.end()
        limiter.close()
        log.close()


def _record(folder: Path, status: Status, outcome: Outcome, limiter: Limiter) -> None:
    status.exit_code, status.signal, status.cause = outcome.exit_code, outcome.signal, outcome.cause
    status.stderr_tail = outcome.stderr_tail
    refused = limiter.name == "rlimit" and any(
        word in outcome.stderr_tail for word in ("MemoryError", "std::bad_alloc")
    )
    if status.cause == "exit" and status.exit_code != 0 and (limiter.ran_out_of_memory() or refused):
        status.cause = "memory"
    failure = read_beneath(folder / "ml", "output/failure", 4 * _FAILURE_LENGTH)
    status.failure = failure.decode("utf-8", errors="replace")[:_FAILURE_LENGTH]
