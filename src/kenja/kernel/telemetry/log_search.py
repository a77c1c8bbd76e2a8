"""Searching a log group: the events of many streams merged by time, page by page. Which streams there are is the index's.

A stream is opened when the merge reaches its first event and forgotten at its end, so memory grows with the streams
that were written at the same time, not with those that exist.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from kenja.kernel.telemetry import segments

SCAN_LIMIT = 32 * 1024 * 1024  # bytes of lines that one page looks at; AWS too gives short pages with a token
PAGE_BYTES = 1024 * 1024  # GetLogEvents and FilterLogEvents: as many events as fit into 1 MB …
EVENT_OVERHEAD = 26  # … where each counts this many bytes besides its message
FOREVER = 2**62  # ms


class TokenError(ValueError):
    """A token that this listing did not give out."""


class Source(NamedTuple):
    """One stream as the search sees it."""

    id: int
    name: str
    path: Path
    first_event: int  # ms


class Search(NamedTuple):
    """What is looked for: events with start <= ms <= end that match the pattern, in all streams or the named ones."""

    pattern: str = ""
    names: Sequence[str] | None = None
    prefix: str = ""  # of the streams' names
    start: int = 0  # ms
    end: int = FOREVER  # ms


class Found(NamedTuple):
    """One event of a search; `id` is the same whenever and however the event is found."""

    id: str
    stream: str
    timestamp: int  # ms
    message: str


@dataclass(slots=True)
class Cursor:
    """Where a search stands: the streams in the merge with their next offset, and the last stream that entered it."""

    opened: dict[int, int] = field(default_factory=dict)  # stream id -> offset
    mark: tuple[int, int] = (-1, -1)  # (first event, id)

    def token(self, group: int) -> str:
        """The cursor as an opaque token of this group."""
        data = orjson.dumps([group, *self.mark, [list(pair) for pair in self.opened.items()]])
        return base64.urlsafe_b64encode(data).decode()


def cursor(token: str, group: int) -> Cursor:
    """The cursor of a token. Raises TokenError."""
    try:
        owner, first, stream, opened = orjson.loads(base64.urlsafe_b64decode(token))
        numbers = [owner, first, stream, *(number for pair in opened for number in pair)]
        result = Cursor(dict(opened), (first, stream))
    except (ValueError, TypeError) as error:
        raise TokenError(token) from error
    if owner != group or any(type(number) is not int or abs(number) >= 2**62 for number in numbers):
        raise TokenError(token)
    return result


class _Head(NamedTuple):
    """The next event of one stream in the merge; heads compare by time, then stream, then offset."""

    timestamp: int
    stream: int
    offset: int
    message: str
    length: int
    source: Source
    rest: Iterator[tuple[int, int, int, str]]


class Merge:
    """A merge in progress. `pending` yields the streams behind the cursor's mark in the order of their first events."""

    def __init__(
        self, opened: list[tuple[Source, int]], pending: Iterator[Source], at: Cursor, start: int, end: int
    ) -> None:
        self._pending = pending
        self._next = next(pending, None)
        self._mark = at.mark
        self._start = start
        self._end = end
        self._heap: list[_Head] = []
        for source, offset in opened:
            self._push(source, events(source.path, offset, start, end))

    def page(self, matches: Callable[[str], bool], limit: int) -> tuple[list[Found], Cursor | None]:
        """At most `limit` matching events in order of time, and where to go on; None when everything was seen."""
        found: list[Found] = []
        size = scanned = 0
        while (head := self._head()) is not None:
            if matches(head.message):
                cost = len(head.message.encode()) + EVENT_OVERHEAD
                if len(found) == limit or (found and size + cost > PAGE_BYTES):
                    return found, self._cursor()
                size += cost
                found.append(
                    Found(f"{head.stream:020d}{head.offset:036d}", head.source.name, head.timestamp, head.message)
                )
            scanned += head.length
            heapq.heappop(self._heap)
            self._push(head.source, head.rest)
            if scanned > SCAN_LIMIT:
                return found, self._cursor()
        return found, None

    def _head(self) -> _Head | None:
        while self._next is not None and (not self._heap or self._next.first_event <= self._heap[0].timestamp):
            source = self._next
            self._mark = (source.first_event, source.id)
            offset = segments.seek(source.path, self._start, segments.size(source.path)) if self._start > 0 else 0
            self._push(source, events(source.path, offset, self._start, self._end))
            self._next = next(self._pending, None)
        return self._heap[0] if self._heap else None

    def _push(self, source: Source, rest: Iterator[tuple[int, int, int, str]]) -> None:
        event = next(rest, None)
        if event is not None:
            offset, behind, timestamp, message = event
            heapq.heappush(self._heap, _Head(timestamp, source.id, offset, message, behind - offset, source, rest))

    def _cursor(self) -> Cursor:
        return Cursor({head.stream: head.offset for head in self._heap}, self._mark)


def events(path: Path, offset: int, start: int, end: int) -> Iterator[tuple[int, int, int, str]]:
    """(offset, offset of the next line, ms, message) of the events with start <= ms <= end from `offset` on."""
    for at, behind, line in segments.forward(path, offset, segments.end(path)):
        event = segments.parse(line)
        if event is None or event[0] < start:
            continue
        if event[0] > end:
            if event[0] > end + segments.SLACK:
                return
            continue
        yield at, behind, event[0], event[1]
