"""A job's output: bytes of two pipes become log lines, metrics and the last error lines. Bounded in every direction; starts nothing."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from kenja_worker.shim.spec import Metric

MAX_EVENT = 256 * 1024 - 26  # bytes; CloudWatch Logs quotas: 256 KB an event, 26 bytes of it overhead
MAX_LOG = 4 * 1024**3  # bytes of one job's log; a job that prints without end must not fill the disk
_IDLE_FLUSH = 1.0  # seconds after which an unfinished line is shown
_MATCH_SECONDS = 0.5  # for one expression on one line
_MATCH_LENGTH = 16 * 1024  # characters of a line that metrics are looked for in
_TAIL_LINES, _TAIL_LENGTH = 20, 1024


class LogWriter:
    """Appends `[milliseconds, "message"]` lines, each batch in one write, so that readers see whole lines only."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._left = MAX_LOG

    def write(self, lines: list[str], when: int) -> None:
        if self._left <= 0:
            return
        data = b"".join(
            f"[{when},{json.dumps(line, ensure_ascii=False)}]\n".encode(errors="backslashreplace") for line in lines
        )
        self._left -= len(data)
        if self._left <= 0:
            data += f"[{when},{json.dumps(f'[kenja] The log holds {MAX_LOG} bytes; the rest is dropped.')}]\n".encode()
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def note(self, text: str) -> None:
        self.write([f"[kenja] {line}" for line in text.splitlines()], now())

    def close(self) -> None:
        os.close(self._descriptor)


class LineSplitter:
    """Whole lines out of pieces of bytes; a line longer than an event is cut, at most one event is kept waiting."""

    def __init__(self) -> None:
        self._waiting = b""
        self._since = math.inf

    def feed(self, data: bytes) -> list[str]:
        *whole, self._waiting = (self._waiting + data).split(b"\n")
        lines = [part for line in whole for part in _cut(line)]
        while len(self._waiting) > MAX_EVENT:
            lines.append(_decode(self._waiting[:MAX_EVENT]))
            self._waiting = self._waiting[MAX_EVENT:]
        self._since = time.monotonic() if self._waiting else math.inf
        return lines

    def idle(self) -> list[str]:
        return self.finish() if time.monotonic() - self._since > _IDLE_FLUSH else []

    def finish(self) -> list[str]:
        waiting, self._waiting, self._since = self._waiting, b"", math.inf
        return [_decode(waiting)] if waiting else []

    def deadline(self) -> float:
        """Monotonic time at which `idle` has something to show."""
        return self._since + _IDLE_FLUSH


class MetricReader:
    """Metric expressions over lines, each with a time limit, because a user's expression may run for ever on some line."""

    def __init__(self, metrics: tuple[Metric, ...], path: Path) -> None:
        self.notes: list[str] = []
        self._expressions: list[tuple[str, re.Pattern[str]]] = []
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        for metric in metrics:
            try:
                expression = re.compile(metric.regex)
            except re.error as error:
                self.notes.append(
                    f"Metric {metric.name!r} is ignored: {metric.regex!r} is no regular expression ({error})."
                )
                continue
            if expression.groups:
                self._expressions.append((metric.name, expression))
            else:
                self.notes.append(
                    f"Metric {metric.name!r} is ignored: {metric.regex!r} has no group that holds the value."
                )

    def read(self, lines: list[str], when: int) -> list[str]:
        """Record what matches; returns notes about expressions that were given up."""
        found: list[bytes] = []
        notes: list[str] = []
        for name, expression in tuple(self._expressions):
            try:
                values = [value for line in lines for value in _matches(expression, line[:_MATCH_LENGTH])]
            except TimeoutError:
                self._expressions.remove((name, expression))
                notes.append(
                    f"Metric {name!r} is ignored from here on: its expression needs more than {_MATCH_SECONDS} s a line."
                )
                continue
            found += [json.dumps([when, name, value]).encode() + b"\n" for value in values]
        if found:
            os.write(self._descriptor, b"".join(found))
        return notes

    def close(self) -> None:
        os.close(self._descriptor)


class Tail:
    """The last lines of stderr, for the reason of a failure."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)

    def add(self, lines: list[str]) -> None:
        self._lines.extend(line[:_TAIL_LENGTH] for line in lines if line.strip())

    def text(self) -> str:
        return "\n".join(self._lines)


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _cut(line: bytes) -> Iterator[str]:
    line = line.removesuffix(b"\r")
    for start in range(0, len(line) or 1, MAX_EVENT):
        yield _decode(line[start : start + MAX_EVENT])


def _decode(line: bytes) -> str:
    return line.decode("utf-8", errors="replace")


def _matches(expression: re.Pattern[str], line: str) -> list[float]:
    def expire(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, expire)  # the matcher looks at signals every few thousand steps
    signal.setitimer(signal.ITIMER_REAL, _MATCH_SECONDS)
    try:
        texts = [found.group(1) for found in expression.finditer(line)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    values: list[float] = []
    for text in texts:
        try:
            value = float(text)
        except (TypeError, ValueError):  # an expression may well match words; AWS takes numbers only
            continue
        if math.isfinite(value):
            values.append(value)
    return values
