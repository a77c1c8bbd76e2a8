"""The ladder of rungs: which sandbox a job gets on this machine, with the reason. Mounts and processes are the rungs' own affair."""

from __future__ import annotations

import os
import select
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kenja_worker.shim import bare, bubblewrap, namespaces, sandbox, system, unshare
from kenja_worker.shim.child import Child, Program
from kenja_worker.shim.files import give_to
from kenja_worker.shim.limits import Limiter
from kenja_worker.shim.spec import Spec, SpecError

ISOLATING = ("warm", "namespaces", "bubblewrap", "unshare")
_START_SECONDS = 60.0  # for mounts and the first process, on a loaded machine


class LaunchError(Exception):
    """The job could not be started; the message is for its owner."""


@dataclass(frozen=True)
class Rung:
    name: str
    available: bool
    reason: str  # why not; empty if it is


@dataclass(frozen=True)
class Launched:
    child: Child
    rung: str
    notes: tuple[str, ...]


def launch(folder: Path, spec: Spec, limiter: Limiter, *, warm: bool) -> Launched:
    """Start the job on the best rung allowed. A rung is passed over only if a trial shows that the machine does not have it:
    what is wrong with this job alone must not cost it its isolation."""
    for name in sandbox.WRITABLE.values():
        (folder / name).mkdir(exist_ok=True)
    program = _program(spec, limiter, warm)
    notes: list[str] = []
    if warm and not program.in_process:
        notes.append(f"The zygote runs {sys.executable}; {spec.python} is started anew.")
    for name in _candidates(spec, program.in_process):
        try:
            child = _start(name, folder, spec, program)
            limiter.attach(child.pid)
            child.go()
            _await_start(child)
        except (OSError, LaunchError, SpecError) as error:
            if spec.rung != "auto" or name == "none" or isinstance(error, SpecError):
                raise LaunchError(str(error)) from error
            trial = _try(name)
            if trial.available:
                raise LaunchError(str(error)) from error
            notes.append(f"Rung {name!r} is not available here: {trial.reason}")
            continue
        if name == "none":
            notes.append(bare.NOTE)
        return Launched(child, name, tuple(notes))
    raise LaunchError(f"No rung is left for {spec.rung!r}. {' '.join(notes)}")


def probe() -> list[Rung]:
    """Every rung by a real trial, best first; what `kenja doctor` shows."""
    return [_try(name) for name in ("namespaces", "bubblewrap", "unshare", "none")]


def _candidates(spec: Spec, in_process: bool) -> list[str]:
    own = "warm" if in_process else "namespaces"
    if spec.rung == "auto":
        return [own, "bubblewrap", "unshare", "none"]
    return [own] if spec.rung in ("warm", "namespaces") else [spec.rung]


def _program(spec: Spec, limiter: Limiter, warm: bool) -> Program:
    folder = os.path.dirname(spec.python)
    environment = {
        "PATH": f"{folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": sandbox.TEMPORARY,
        "TMPDIR": sandbox.TEMPORARY,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **spec.env,
    }
    environment["PYTHONPATH"] = ":".join(part for part in (sandbox.LIBRARY, environment.get("PYTHONPATH")) if part)
    return Program(
        spec.python,
        spec.module,
        spec.argv,
        environment,
        spec.working_directory,
        warm and spec.rung in ("auto", "warm") and os.path.normpath(spec.python) == os.path.normpath(sys.executable),
        limiter.resources,
        limiter.processors,
    )


def _start(name: str, folder: Path, spec: Spec, program: Program) -> Child:
    if name == "none":
        bare.check(spec)
        return bare.start(bare.prepare(folder, spec, program))
    plan = sandbox.plan(folder, spec)
    if name == "bubblewrap":
        return bubblewrap.start(plan, replace(program, in_process=False))
    if system.is_privileged():
        for part in sandbox.WRITABLE.values():
            give_to(folder / part, plan.uid, plan.gid)
    if name == "unshare":
        return unshare.start(plan, program)
    return namespaces.start(plan, program)


def _await_start(child: Child) -> None:
    """Until the rung says that the job's process exists; raises LaunchError with its reason, everything of it ended."""
    deadline = time.monotonic() + _START_SECONDS
    while select.select([child.report], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(child.report, 65536)
        events = child.events(data)
        if any(event["event"] == "failed" for event in events):
            _abandon(child, str(events[-1]["error"]))
        if events:
            return
        if not data:
            _abandon(
                child,
                os.read(child.stderr, 4096).decode(errors="replace").strip()
                or "The sandbox ended before the job began.",
            )
    _abandon(child, f"The sandbox was not ready after {_START_SECONDS:.0f} s.")


def _abandon(child: Child, reason: str) -> None:
    child.kill()
    os.waitpid(child.pid, 0)
    for number in (child.stdout, child.stderr, child.report, child.lifeline):
        os.close(number)
    raise LaunchError(reason)


def _try(name: str) -> Rung:
    """Run trial.py on one rung: it must see its own folder and must not see a file beside it."""
    rung = "namespaces" if name == "warm" else name
    with tempfile.TemporaryDirectory(prefix="kenja-trial-") as temporary:
        root = Path(temporary)
        secret = root / "secret"
        secret.write_text("secret")
        folder = root / "job"
        folder.mkdir()
        values: dict[str, Any] = {
            "readable": tuple(sandbox.interpreter_paths(sys.executable)),
            "log_segment": "/dev/null",
        }
        argv = (str(secret), "hidden" if rung in ISOLATING else "seen")
        spec = Spec("trial", "trial", "training", sys.executable, "kenja_worker.shim.trial", argv, rung=rung, **values)
        try:
            launched = launch(folder, spec, Limiter(), warm=False)
        except LaunchError as error:
            return Rung(name, False, str(error))
        problem = _trial_result(launched.child)
        return Rung(name, not problem, problem)


def _trial_result(child: Child) -> str:
    """Empty, or what the trial complained about."""
    answer = b""
    while select.select([child.stderr], [], [], _START_SECONDS)[0] and (data := os.read(child.stderr, 4096)):
        answer += data
    child.kill()
    os.waitpid(child.pid, 0)
    for number in (child.stdout, child.stderr, child.report, child.lifeline):
        os.close(number)
    text = answer.decode(errors="replace").strip()
    return "" if text == "fine" else text or "The trial gave no answer."
