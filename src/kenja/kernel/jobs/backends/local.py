"""The local backend: jobs on this machine, each a shim in a session of its own. Adopts by folder; isolates nothing itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Literal

import kenja_worker
from kenja.core.clock import Clock
from kenja.core.log import logger
from kenja.kernel.jobs.backends import Backend, Observation
from kenja.kernel.jobs.backends.zygotes import ZygoteError, Zygotes, clean_environment
from kenja.kernel.jobs.driver import Plan
from kenja_worker.shim import processes

START = 60.0  # seconds for a cold shim to write its pid file, on a loaded machine
ENDING = 1.0  # seconds that a shim whose job is over has to leave
KILL = 5.0  # seconds that a shim has to end its job at once
POLL = 0.002  # seconds between two looks for it
_REASON = 2000  # characters of shim.log in the status of a job whose shim did not start

_log = logger(__name__)


class LocalBackend:
    """`zygotes`: folder of the warm parents' sockets, used by this user only."""

    def __init__(self, zygotes: Path, clock: Clock) -> None:
        self._clock = clock
        self._library = zygotes.parent / "lib"
        self._zygotes = Zygotes(zygotes, self._library, clock)
        self._shims: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def submit(self, folder: Path, plan: Plan) -> None:
        self._link_library()
        for name in ("status.json", "pid"):
            (folder / name).unlink(missing_ok=True)
        _write(folder / "spec.json", json.dumps(dict(plan.spec)))
        if plan.preload and plan.spec.get("rung", "auto") in ("auto", "warm"):
            try:
                _write(folder / "pid", self._zygotes.fork(folder, str(plan.spec["python"]), plan.preload) + "\n")
                return
            except (ZygoteError, OSError) as error:  # whatever is wrong with it, a cold start does not need it
                _log.warning("job %s starts cold: %s", folder.name, error)
        self._start_cold(folder)

    def observe(self, folder: Path) -> Observation:
        self._reap()
        status = _read_status(folder)
        if status is not None and status["state"] == "exited":
            return Observation("exited", status)
        try:
            identity = (folder / "pid").read_text()
        except FileNotFoundError:
            return Observation("absent", status)
        if _is_alive(identity):
            return Observation("running", status)
        status = _read_status(folder)  # it may have ended between the two looks
        exited = status is not None and status["state"] == "exited"
        return Observation("exited" if exited else "lost", status)

    def signal(self, folder: Path, what: Literal["stop", "kill"]) -> None:
        try:
            identity = (folder / "pid").read_text()
        except FileNotFoundError:
            return
        _send(identity, signal.SIGTERM if what == "stop" else signal.SIGUSR1)
        if what == "kill":
            self._await_end(identity)

    def _await_end(self, identity: str) -> None:
        """Until a shim that was told to kill its job is gone; one that does not listen is killed, and its job with it."""
        end = self._clock.monotonic() + KILL
        while _is_alive(identity):
            if self._clock.monotonic() > end:
                _send(identity, signal.SIGKILL)
                return
            self._reap()
            self._clock.sleep(POLL)

    def logs(self, folder: Path) -> Path:
        return Path(json.loads((folder / "spec.json").read_bytes())["log_segment"])

    def adopt(self, folder: Path) -> Observation:
        seen = self.observe(folder)
        if seen.state == "lost":
            self._remove_groups(folder)
        return seen

    def close(self) -> None:
        """Retire the zygotes; running jobs go on. They retire by themselves if this process ends without it."""
        self._zygotes.close()
        for shim in self._shims:
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that still runs is left to run
                shim.wait(ENDING)

    def _remove_groups(self, folder: Path) -> None:
        """Control groups of a shim that could not remove them itself; what it left in them ends with it, or is ended."""
        path = folder / "groups"
        end = self._clock.monotonic() + KILL
        for group in map(Path, path.read_text().splitlines() if path.exists() else ()):
            while group.is_dir() and not _removed(group):
                if self._clock.monotonic() > end:
                    _log.warning("job %s: the control group %s can not be removed", folder.name, group)
                    break
                self._clock.sleep(POLL)

    def _start_cold(self, folder: Path) -> None:
        with (folder / "shim.log").open("ab") as output:
            shim = subprocess.Popen(
                [sys.executable, "-m", "kenja_worker.shim", str(folder)],
                cwd="/",
                env=clean_environment(self._library),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        with self._lock:
            self._shims.append(shim)
        began = self._clock.monotonic()
        while not (folder / "pid").exists():
            late = self._clock.monotonic() - began > START
            if late:
                shim.kill()
            if late or shim.poll() is not None:
                self._record_failure(folder, shim.wait())
                return
            threading.Event().wait(POLL)

    def _record_failure(self, folder: Path, code: int) -> None:
        if not folder.exists() or (folder / "pid").exists():
            return
        reason = (folder / "shim.log").read_text(errors="replace")[-_REASON:]
        now = self._clock.wall()
        status = {
            "state": "exited",
            "rung": "",
            "limiter": "",
            "notes": [],
            "started": now,
            "ended": now,
            "exit_code": None,
        }
        status |= {
            "signal": None,
            "cause": "launch",
            "failure": "",
            "stderr_tail": f"The shim ended with {code}: {reason}",
        }
        _write(folder / "status.json", json.dumps(status))

    def _reap(self) -> None:
        with self._lock:
            self._shims = [shim for shim in self._shims if shim.poll() is None]
        self._zygotes.reap()

    def _link_library(self) -> None:
        """A folder with kenja_worker and nothing else, for interpreters that are not ours to import it from."""
        target = Path(kenja_worker.__file__ or "").parent
        link = self._library / "kenja_worker"
        if link.is_symlink() and link.readlink() == target:
            return
        self._library.mkdir(parents=True, exist_ok=True)
        temporary = self._library / f".kenja_worker.{os.getpid()}.{threading.get_ident()}"
        temporary.symlink_to(target)
        temporary.replace(link)


def _write(path: Path, content: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)


def _read_status(folder: Path) -> dict[str, Any] | None:
    try:
        status: dict[str, Any] = json.loads((folder / "status.json").read_bytes())
    except FileNotFoundError:
        return None
    return status


def _is_alive(identity: str) -> bool:
    """The process named by `PID STARTTIME` runs: the same one, and not a dead one that only waits to be reaped."""
    return processes.is_alive(identity)


def _send(identity: str, number: int) -> None:
    """Signal that very process and no other that may have got its number meanwhile."""
    pid = int(identity.split(maxsplit=1)[0])
    if not hasattr(os, "pidfd_open"):
        if _is_alive(identity):
            os.kill(pid, number)
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _is_alive(identity):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _removed(group: Path) -> bool:
    """Remove a control group; False while processes are in it, which are killed."""
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # busy: a process needs a moment to die
        for pid in (group / "cgroup.procs").read_text().split():
            processes.send(int(pid), signal.SIGKILL)
        return False
    return True


def _proof(backend: LocalBackend) -> Backend:
    return backend
