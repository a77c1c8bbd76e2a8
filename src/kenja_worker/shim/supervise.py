"""Watches one started job to its end: output, stop, timeout, grace, exit status. The sandbox and the limits were set up before."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kenja_worker.shim.child import Child
from kenja_worker.shim.output import LineSplitter, LogWriter, MetricReader, Tail, now
from kenja_worker.shim.spec import Spec

_CHUNK = 256 * 1024
_DRAIN_SECONDS = 2.0  # for output still in the pipes after the end; a leftover process may hold them open
_REAP_SECONDS = 10.0


@dataclass(frozen=True)
class Outcome:
    exit_code: int | None
    signal: int | None
    cause: str  # exit, stopped, timeout, launch; memory is told by the limiter
    stderr_tail: str


@dataclass
class Signals:
    """What was asked of the shim by signals; a pipe wakes the loop. SIGTERM: stop with grace. SIGUSR1: end at once."""

    read: int
    write: int
    stop: bool = False
    kill: bool = False

    @classmethod
    def install(cls) -> Signals:
        read, write = os.pipe()
        for number in (read, write):
            os.set_blocking(number, False)
        signals = cls(read, write)
        signal.signal(signal.SIGTERM, signals._on_stop)
        signal.signal(signal.SIGUSR1, signals._on_kill)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        return signals

    def _on_stop(self, _number: int, _frame: object) -> None:
        self.stop = True

    def _on_kill(self, _number: int, _frame: object) -> None:
        self.stop = self.kill = True

    def drain(self) -> None:
        try:
            os.read(self.read, 4096)
        except BlockingIOError:
            return


@dataclass
class Supervisor:
    spec: Spec
    child: Child
    log: LogWriter
    metrics: MetricReader
    signals: Signals
    tail: Tail = field(default_factory=Tail)
    _splitters: dict[int, LineSplitter] = field(default_factory=dict)
    _ended: dict[str, Any] = field(default_factory=dict)
    _status: int | None = None
    _cause: str = "exit"
    _kill_at: float | None = None  # monotonic
    _killed: bool = False

    def run(self) -> Outcome:
        deadline = time.monotonic() + self.spec.timeout_seconds if self.spec.timeout_seconds else None
        self._splitters = {self.child.stdout: LineSplitter(), self.child.stderr: LineSplitter()}
        with selectors.DefaultSelector() as selector:
            for number in (*self._splitters, self.child.report, self.signals.read):
                os.set_blocking(number, False)
                selector.register(number, selectors.EVENT_READ)
            while self._status is None:
                self._step(selector, deadline)
            self._drain(selector)
        for number in self._splitters:
            self._take(number, self._splitters[number].finish())
        return self._outcome()

    def _step(self, selector: selectors.BaseSelector, deadline: float | None) -> None:
        for key, _ in selector.select(self._patience(deadline)):
            if key.fd == self.signals.read:
                self.signals.drain()
            elif not self._read(key.fd):
                selector.unregister(key.fd)
        for number, splitter in self._splitters.items():
            self._take(number, splitter.idle())
        current = time.monotonic()
        if self.signals.stop and self._kill_at is None:
            self._end("stopped")
        elif deadline is not None and current >= deadline and self._kill_at is None:
            self.log.note(f"The job ran longer than {self.spec.timeout_seconds} s and is stopped.")
            self._end("timeout")
        if not self._killed and (self.signals.kill or (self._kill_at is not None and current >= self._kill_at)):
            self._killed = True
            self.child.kill()
        self._reap()

    def _patience(self, deadline: float | None) -> float | None:
        moments = [splitter.deadline() for splitter in self._splitters.values()]
        if self._kill_at is None and deadline is not None:
            moments.append(deadline)
        if self._kill_at is not None and not self._killed:
            moments.append(self._kill_at)
        nearest = min(moments)
        return None if nearest == float("inf") else max(0.0, nearest - time.monotonic())

    def _end(self, cause: str) -> None:
        self._cause = cause
        self._kill_at = time.monotonic() + self.spec.grace_seconds
        self.child.terminate()

    def _reap(self) -> None:
        pid, status = os.waitpid(self.child.pid, os.WNOHANG)
        if pid:
            self._status = status

    def _read(self, number: int) -> bool:
        """Take what one pipe holds; False at its end."""
        try:
            data = os.read(number, _CHUNK)
        except BlockingIOError:
            return True
        if number == self.child.report:
            for event in self.child.events(data):
                if (
                    self._ended.get("event") != "failed"
                ):  # the program did not come to its first line; its end says nothing more
                    self._ended = event
        else:
            self._take(number, self._splitters[number].feed(data))
        return bool(data)

    def _take(self, number: int, lines: list[str]) -> None:
        if not lines:
            return
        when = now()
        self.log.write(lines, when)
        for note in self.metrics.read(lines, when):
            self.log.note(note)
        if number == self.child.stderr:
            self.tail.add(lines)

    def _drain(self, selector: selectors.BaseSelector) -> None:
        deadline = time.monotonic() + _DRAIN_SECONDS
        selector.unregister(self.signals.read)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(max(0.0, deadline - time.monotonic())):
                if not self._read(key.fd):
                    selector.unregister(key.fd)

    def _outcome(self) -> Outcome:
        if self._ended.get("event") == "failed":
            return Outcome(None, None, "launch", str(self._ended["error"]))
        code, number = _exit_facts(self._ended, self._status or 0)
        return Outcome(code, number, self._cause, self.tail.text())


def _exit_facts(ended: Mapping[str, Any], status: int) -> tuple[int | None, int | None]:
    """(exit code, signal): by the keeper's report; else by how the sandbox itself ended, where 128+n means signal n (bwrap)."""
    if ended.get("event") == "ended":
        return ended["exit_code"], ended["signal"]
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return None, -code
    return (None, code - 128) if 128 < code <= 128 + signal.NSIG else (code, None)
