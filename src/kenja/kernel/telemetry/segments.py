"""Segments: one stream's log lines in one append-only file, read live while others write. Knows no groups and no SQL.

A line is the JSON array `[milliseconds, "message"]` in UTF-8 and a newline, written by a single write(2) on a file opened
with O_APPEND, in the order of time. Whoever writes splits messages at MAX_MESSAGE. A last line without its newline
(its writer was killed, or is writing) is not there yet; the next writer closes it with `mend`. Memory is bounded by
CHUNK + MAX_LINE, whatever the file holds; nothing here keeps a file open. A killed process loses no line; a power cut may take
the last seconds of a segment that is still written to (`sync` is for those that are complete).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

MAX_MESSAGE = 256 * 1024 - 26  # bytes of UTF-8; PutLogEvents: 256 KB less the 26 bytes that count for every event
CHUNK = 64 * 1024  # bytes per read
MAX_LINE = 4 * 1024 * 1024  # bytes; a longer one is damage and is passed over
SLACK = 60_000  # ms that a line may be out of the order of time (a clock that was set back) and still be found

Line = tuple[int, int, bytes]  # offset, offset of the next line, bytes without the newline
_START = re.compile(rb'\[\d{1,15},\s?"')  # can not occur inside a JSON string, whose quotes are escaped


def size(path: Path) -> int:
    """Bytes of the segment, 0 when it is not there."""
    return look(path)[0]


def look(path: Path) -> tuple[int, int]:
    """Bytes of the segment and the time of its last write in ms; (0, -1) when it is not there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, -1
    return status.st_size, status.st_mtime_ns // 1_000_000


def append(path: Path, events: Iterable[tuple[int, str]]) -> None:
    """Append events in one write. Raises OSError when the disk is full; readers then see whole lines only."""
    data = b"".join(_encode(milliseconds, message) for milliseconds, message in events)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def mend(path: Path) -> None:
    """Make the file if need be, and end a line that a killed writer left open."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        length = os.fstat(descriptor).st_size
        if length and os.pread(descriptor, 1, length - 1) != b"\n":
            os.write(descriptor, b"\n")
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Bring a segment that nobody writes to any more onto the disk: from here on a power cut takes nothing of it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def end(path: Path) -> int:
    """The offset behind the last whole line."""
    position = size(path)
    while position > 0:
        start = max(0, position - CHUNK)
        found = _read(path, start, position - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def is_boundary(path: Path, offset: int) -> bool:
    """Whether a line begins (or may begin) at this offset."""
    return offset == 0 or (0 < offset <= size(path) and _read(path, offset - 1, 1) == b"\n")


def forward(path: Path, offset: int, stop: int) -> Iterator[Line]:
    """The whole lines from `offset`, where one begins, up to `stop`."""
    position, rest = offset, b""
    while (at := position + len(rest)) < stop:
        chunk = _read(path, at, min(CHUNK, stop - at))
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            behind = position + len(line) + 1
            yield position, behind, line
            position = behind
        if len(rest) > MAX_LINE:
            position, rest = position + len(rest), b""


def backward(path: Path, before: int) -> Iterator[Line]:
    """The lines that end at or before `before`, where one begins; the last one first."""
    position, behind, rest = before, before, b""
    while position > 0:
        start = max(0, position - CHUNK)
        lines = (_read(path, start, position - start) + rest).split(b"\n")[:-1]
        position = start
        for line in reversed(lines[1:]):
            begin = behind - len(line) - 1
            yield begin, behind, line
            behind = begin
        rest = lines[0] + b"\n"
        if len(rest) > MAX_LINE:
            behind, rest = position + 1, b"\n"
    if rest:
        yield 0, behind, rest[:-1]


def parse(line: bytes) -> tuple[int, str] | None:
    """(milliseconds, message), or None for a line that says nothing. What follows a torn line is found again."""
    event = _parse(line)
    if event is None and line:
        starts = [match.start() for match in _START.finditer(line)]
        if starts and starts[-1] > 0:
            return _parse(line[starts[-1] :])
    return event


def first_event(path: Path) -> int | None:
    """The time of the first event in ms, or None when there is none yet."""
    times = (event[0] for _, _, line in forward(path, 0, size(path)) if (event := parse(line)))
    return next(times, None)


def last_event(path: Path) -> int | None:
    """The time of the last event in ms, or None; reads the file's tail only."""
    times = (event[0] for _, _, line in backward(path, end(path)) if (event := parse(line)))
    return next(times, None)


def seek(path: Path, milliseconds: int, stop: int) -> int:
    """An offset with a line's begin before which every event is older than `milliseconds` (given SLACK)."""
    low, high, wanted = 0, stop, milliseconds - SLACK
    while high - low > CHUNK:
        middle = (low + high) // 2
        lines = forward(path, middle, stop)
        next(lines, None)  # most likely the rest of a line
        found = next(((behind, event[0]) for _, behind, line in lines if (event := parse(line))), None)
        if found is None or found[1] >= wanted:
            high = middle
        else:
            low = found[0]
    return low


def _encode(milliseconds: int, message: str) -> bytes:
    data = message.encode("utf-8", "replace")
    if len(data) > MAX_MESSAGE:
        raise ValueError(f"a message has {len(data)} bytes; split it at {MAX_MESSAGE}")
    return orjson.dumps([milliseconds, data.decode()]) + b"\n"


def _parse(line: bytes) -> tuple[int, str] | None:
    try:
        event = orjson.loads(line)
    except ValueError:
        event = _lenient(line)
    if isinstance(event, list) and len(event) == 2 and type(event[0]) is int and isinstance(event[1], str):
        return event[0], event[1]
    return None


def _lenient(line: bytes) -> object:
    """Lines by Python's own json may hold lone surrogates and a payload's bytes may be no UTF-8; both become "?"."""
    try:
        event = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return None
    if isinstance(event, list) and len(event) == 2 and isinstance(event[1], str):
        event[1] = event[1].encode("utf-8", "replace").decode()
    return event


def _read(path: Path, offset: int, length: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(descriptor, length, offset)
    finally:
        os.close(descriptor)
