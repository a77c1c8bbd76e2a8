"""A started sandbox as its shim holds it: pipes, ways to end it, what it reports. The rungs make these; nothing is started here."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kenja_worker.shim.processes import children, descendants, kill_descendants, send


@dataclass(frozen=True)
class Program:
    """What is to run. `in_process`: by runpy in a fork of the zygote, with its libraries already imported."""

    python: str
    module: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    directory: str
    in_process: bool = False
    resources: tuple[tuple[int, int], ...] = ()  # (RLIMIT_…, value)
    processors: int = 0  # cores to be bound to; 0: all


@dataclass(frozen=True)
class Ends:
    """The sandbox's ends of the pipes. `lifeline`: one byte means go; end of file means that the shim is gone."""

    stdout: int
    stderr: int
    report: int
    lifeline: int

    def numbers(self) -> tuple[int, ...]:
        return self.stdout, self.stderr, self.report, self.lifeline

    def send(self, event: str, **facts: Any) -> None:
        os.write(self.report, json.dumps({"event": event, **facts}).encode() + b"\n")

    def wait_for_go(self) -> None:
        if os.read(self.lifeline, 1) == b"":
            os._exit(1)


@dataclass
class Child:
    """A sandbox with our own keeper as its first process; SIGTERM to it goes on to the job, its end ends everything."""

    pid: int
    stdout: int
    stderr: int
    report: int
    lifeline: int
    _received: bytes = field(default=b"", repr=False)

    def go(self) -> None:
        os.write(self.lifeline, b"g")

    def events(self, data: bytes) -> list[dict[str, Any]]:
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def terminate(self) -> None:
        send(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        send(self.pid, signal.SIGKILL)


@dataclass
class BareChild(Child):
    """Without a pid namespace: whoever left the session is found below the keeper, which adopts orphans."""

    def kill(self) -> None:
        kill_descendants(self.pid)
        super().kill()


@dataclass
class BubblewrapChild(Child):
    """bwrap reports its first process on --info-fd and forwards no signals; it dies with the shim and takes all with it."""

    first: int = 0

    def events(self, data: bytes) -> list[dict[str, Any]]:
        self._received += data
        if not self._received.rstrip().endswith(b"}"):
            return []
        self.first = int(json.loads(self._received)["child-pid"])
        self._received = b""
        return [{"event": "started"}]

    def terminate(self) -> None:
        for pid in descendants(self.first) if self.first else []:
            send(pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.first:
            send(self.first, signal.SIGKILL)
        send(self.pid, signal.SIGKILL)


@dataclass
class UnshareChild(Child):
    """The command waits for its only child, our keeper, and forwards no signals; its death is the keeper's."""

    def terminate(self) -> None:
        for keeper in children(self.pid):
            send(keeper, signal.SIGTERM)


def pipes() -> tuple[Ends, tuple[int, int, int, int]]:
    """The sandbox's ends, and the shim's (stdout, stderr, report, lifeline)."""
    out_read, out_write = os.pipe()
    error_read, error_write = os.pipe()
    report_read, report_write = os.pipe()
    lifeline_read, lifeline_write = os.pipe()
    return Ends(out_write, error_write, report_write, lifeline_read), (
        out_read,
        error_read,
        report_read,
        lifeline_write,
    )


def close_ends(ends: Ends) -> None:
    for number in ends.numbers():
        os.close(number)
