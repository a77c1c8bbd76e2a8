"""Logs: groups and streams per account and region, one segment file per stream, read while it is written. No AWS errors here.

Writers of other processes append to the file that `open_stream` names (see `segments` for its format); the index in SQL
says where the files are and caches what can be read from them. Thread safe, and safe in several processes at once.
An event counts as ingested at its own time, because the platform's writers stamp events when they store them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, bindparam, delete, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from kenja.core import ids
from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.telemetry import log_patterns, log_search, segments
from kenja.kernel.telemetry.log_index import GROUP, METADATA, STREAM
from kenja.kernel.telemetry.log_search import (
    EVENT_OVERHEAD,
    FOREVER,
    PAGE_BYTES,
    SCAN_LIMIT,
    Found,
    Search,
    Source,
    TokenError,
)

MAX_EVENTS = 10_000  # events of one page; GetLogEvents and FilterLogEvents
_BATCH = 500  # rows or ids per statement
_TOKEN = re.compile(r"([fb])/(\d{20})(\d{36})/s")
_LAST_CHARACTER = "\U0010ffff"


class Event(NamedTuple):
    """One line of a stream."""

    timestamp: int  # ms since the epoch
    message: str


@dataclass(frozen=True, slots=True)
class Group:
    """A log group."""

    id: int
    account: str
    region: str
    name: str
    created: int  # ms since the epoch
    stored_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Stream:
    """A log stream; the times are None while it has no events."""

    id: int
    name: str
    created: int  # ms since the epoch
    path: Path
    stored_bytes: int
    first_event: int | None  # ms
    last_event: int | None  # ms
    ingested: int | None  # ms


@dataclass(frozen=True, slots=True)
class Page:
    """Events in the order of time and the tokens that lead on in both directions."""

    events: list[Event]
    forward: str
    backward: str


class Logs:
    """All log groups of all accounts and regions."""

    def __init__(self, folder: Path, database_url: str, clock: Clock) -> None:
        self._folder = folder
        self._database = Database(database_url, METADATA, "kenja.kernel.telemetry.log_index.migrations")
        self._clock = clock

    def open_stream(self, account: str, region: str, group: str, stream: str) -> Path:
        """The segment of a stream for a writer to append to; group and stream are made if need be. Idempotent."""
        for _ in range(2):  # another process may make the same names at the same moment
            try:
                path = self._folder / self._segment(account, region, group, stream)
                break
            except IntegrityError:
                continue
        else:
            raise RuntimeError(f"the log stream {group!r} {stream!r} can be neither found nor made")
        path.parent.mkdir(parents=True, exist_ok=True)
        segments.mend(path)
        return path

    def append(self, account: str, region: str, group: str, stream: str, events: Iterable[tuple[int, str]]) -> None:
        """Append events (ms, message), in the order of time, to a stream that is made if need be."""
        segments.append(self.open_stream(account, region, group, stream), sorted(events, key=lambda event: event[0]))

    def seal(self, account: str, region: str, group: str, stream: str) -> None:
        """Say that nobody writes to a stream any more, so that listings need not look at its file. Opening undoes it."""
        found = self.group(account, region, group)
        row = None if found is None else self._row(found.id, stream)
        if row is not None:
            segments.sync(self._folder / row.segment)
            with self._database.transaction() as connection:
                connection.execute(_REFRESH, [_refreshed(self._look(row), row)])
                connection.execute(update(STREAM).where(STREAM.c.id == row.id).values(sealed=True))

    def group(self, account: str, region: str, name: str) -> Group | None:
        """The group of this name, without its size, or None."""
        query = select(GROUP).where(GROUP.c.account == account, GROUP.c.region == region, GROUP.c.name == name)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else Group(row.id, row.account, row.region, row.name, row.created)

    def groups(
        self, account: str, region: str, limit: int, *, prefix: str = "", part: str = "", names: Sequence[str] | None = None,
        after: str | None = None,
    ) -> list[Group]:  # fmt: skip
        """At most `limit` groups by name, behind the name `after`; `part` occurs in the name, case sensitively."""
        query = select(GROUP).where(GROUP.c.account == account, GROUP.c.region == region)
        if prefix:
            query = query.where(GROUP.c.name >= prefix, GROUP.c.name < prefix + _LAST_CHARACTER)
        if part:
            find = func.instr if self._database.is_sqlite else func.strpos
            query = query.where(find(GROUP.c.name, part) > 0)
        if names is not None:
            query = query.where(GROUP.c.name.in_(names))
        if after is not None:
            query = query.where(GROUP.c.name > after)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(GROUP.c.name).limit(limit)).all()
        return [Group(r.id, r.account, r.region, r.name, r.created, self._stored_bytes(r.id)) for r in rows]

    def stream(self, group: Group, name: str) -> Stream | None:
        """The stream of this name, or None."""
        row = self._row(group.id, name)
        return None if row is None else self._look(row)

    def streams(
        self, group: Group, limit: int, *, prefix: str = "", by_time: bool = False, descending: bool = False,
        after: tuple[int, str] | None = None,
    ) -> list[Stream]:  # fmt: skip
        """At most `limit` streams by name or by their last events (`by_time`), behind the (last event or -1, name) `after`."""
        query = select(STREAM).where(STREAM.c.log_group == group.id)
        if prefix:
            query = query.where(STREAM.c.name >= prefix, STREAM.c.name < prefix + _LAST_CHARACTER)
        if by_time:
            self._refresh(group.id)
            key = tuple_(STREAM.c.last_event, STREAM.c.name)
            query = query if after is None else query.where(key < after if descending else key > after)
            columns = [STREAM.c.last_event, STREAM.c.name]
        else:
            name = None if after is None else after[1]
            query = query if name is None else query.where(STREAM.c.name < name if descending else STREAM.c.name > name)
            columns = [STREAM.c.name]
        query = query.order_by(*(column.desc() if descending else column.asc() for column in columns)).limit(limit)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [self._look(row) for row in rows]

    def read(
        self, stream: Stream, *, token: str | None = None, from_head: bool = False, start: int = 0, end: int = FOREVER,
        limit: int = MAX_EVENTS,
    ) -> Page:  # fmt: skip
        """A page of events with start <= ms < end: from a token, the head, or (the default) the newest. Raises TokenError.

        At either end of the stream the token of that direction stays the same. A page may be empty with a new token
        when a great deal of the file lies outside the times asked for.
        """
        if token is not None:
            direction, offset = _offset(stream, token)
        elif from_head:
            direction, offset = "f", segments.seek(stream.path, start, segments.size(stream.path)) if start > 0 else 0
        else:
            direction, offset = "b", segments.end(stream.path)
        if direction == "f":
            lines = segments.forward(stream.path, offset, segments.end(stream.path))
        else:
            lines = segments.backward(stream.path, offset)
        events, reached = _collect(lines, offset, direction == "f", start, end, min(limit, MAX_EVENTS))
        low, high = min(offset, reached), max(offset, reached)
        return Page(events, _token("f", stream, high), _token("b", stream, low))

    def filter(
        self, group: Group, search: Search, *, token: str | None = None, limit: int = MAX_EVENTS
    ) -> tuple[list[Found], str | None]:
        """The events of a group's streams that a search finds, merged by time, and the token of the next page.

        Raises TokenError and log_patterns.PatternError. A page may be short or empty and still have a next one.
        """
        matches = log_patterns.compile_pattern(search.pattern)
        at = log_search.Cursor() if token is None else log_search.cursor(token, group.id)
        self._refresh(group.id)
        opened = [(source, at.opened[source.id]) for source in self._opened(group, at)]
        merge = log_search.Merge(opened, self._pending(group, at, search), at, search.start, search.end)
        found, behind = merge.page(matches, min(limit, MAX_EVENTS))
        return found, None if behind is None else behind.token(group.id)

    def empty(self, account: str) -> None:
        """Remove every group, stream and line of an account."""
        owned = select(GROUP.c.id).where(GROUP.c.account == account)
        with self._database.transaction() as connection:
            paths = connection.execute(select(STREAM.c.segment).where(STREAM.c.log_group.in_(owned))).scalars().all()
            connection.execute(delete(STREAM).where(STREAM.c.log_group.in_(owned)))
            connection.execute(delete(GROUP).where(GROUP.c.account == account))
        for path in paths:
            (self._folder / path).unlink(missing_ok=True)

    def close(self) -> None:
        """Release the index."""
        self._database.close()

    def _segment(self, account: str, region: str, group: str, stream: str) -> str:
        found = self.group(account, region, group)
        row = None if found is None else self._row(found.id, stream)
        if row is not None and not row.sealed:
            return str(row.segment)
        now = int(self._clock.virtual() * 1000)
        with self._database.transaction() as connection:
            if row is not None:
                connection.execute(update(STREAM).where(STREAM.c.id == row.id).values(sealed=False))
                return str(row.segment)
            if found is None:
                values = {"account": account, "region": region, "name": group, "created": now}
                owner = connection.execute(insert(GROUP).returning(GROUP.c.id), values).scalar_one()
            else:
                owner = found.id
            name = ids.token(32)
            segment = f"logs/{name[:2]}/{name}.log"
            connection.execute(insert(STREAM), {
                "log_group": owner, "name": stream, "created": now, "segment": segment, "size": 0,
                "first_event": -1, "last_event": -1, "ingested": -1, "sealed": False,
            })  # fmt: skip
        return segment

    def _row(self, group: int, name: str) -> Any:
        with self._database.reading() as connection:
            return connection.execute(select(STREAM).where(STREAM.c.log_group == group, STREAM.c.name == name)).first()

    def _look(self, row: Any) -> Stream:
        """What the index says of a stream, brought up to date from its file unless it is sealed."""
        path = self._folder / row.segment
        first, last, ingested, size = row.first_event, row.last_event, row.ingested, row.size
        if not row.sealed and (now := segments.look(path))[0] != size:
            size, ingested = now
            first = first if first >= 0 else _none(segments.first_event(path))
            last = _none(segments.last_event(path))
        times = (None if value < 0 else value for value in (first, last, ingested))
        return Stream(row.id, row.name, row.created, path, size, *times)

    def _refresh(self, group: int) -> None:
        """Write what `_look` finds into the index, for the streams that somebody may still write to."""
        query = select(STREAM).where(STREAM.c.log_group == group, STREAM.c.sealed.is_(False))
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        changed = [_refreshed(stream, row) for row in rows if (stream := self._look(row)).stored_bytes != row.size]
        if changed:
            with self._database.transaction() as connection:
                connection.execute(_REFRESH, changed)

    def _stored_bytes(self, group: int) -> int:
        self._refresh(group)
        with self._database.reading() as connection:
            query = select(func.coalesce(func.sum(STREAM.c.size), 0)).where(STREAM.c.log_group == group)
            return int(connection.execute(query).scalar_one())

    def _opened(self, group: Group, at: log_search.Cursor) -> Iterator[Source]:
        wanted = list(at.opened)
        for first in range(0, len(wanted), _BATCH):
            some = wanted[first : first + _BATCH]
            yield from self._sources(select(STREAM).where(STREAM.c.log_group == group.id, STREAM.c.id.in_(some)))

    def _pending(self, group: Group, at: log_search.Cursor, search: Search) -> Iterator[Source]:
        mark = at.mark
        while True:
            query = select(STREAM).where(
                STREAM.c.log_group == group.id,
                STREAM.c.first_event >= 0,
                STREAM.c.first_event <= search.end,
                STREAM.c.last_event >= search.start,
                tuple_(STREAM.c.first_event, STREAM.c.id) > mark,
            )
            if search.names is not None:
                query = query.where(STREAM.c.name.in_(search.names))
            if search.prefix:
                query = query.where(STREAM.c.name >= search.prefix, STREAM.c.name < search.prefix + _LAST_CHARACTER)
            sources = self._sources(query.order_by(STREAM.c.first_event, STREAM.c.id).limit(_BATCH))
            yield from sources
            if len(sources) < _BATCH:
                return
            mark = (sources[-1].first_event, sources[-1].id)

    def _sources(self, query: Select[Any]) -> list[Source]:
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return [Source(row.id, row.name, self._folder / row.segment, row.first_event) for row in rows]


_REFRESH = (
    update(STREAM)
    .where(and_(STREAM.c.id == bindparam("row"), STREAM.c.size <= bindparam("now")))
    .values(
        size=bindparam("now"), first_event=bindparam("first"), last_event=bindparam("last"), ingested=bindparam("wrote")
    )
)


def _refreshed(stream: Stream, row: Any) -> dict[str, Any]:
    return {
        "row": row.id,
        "now": stream.stored_bytes,
        "first": _none(stream.first_event),
        "last": _none(stream.last_event),
        "wrote": _none(stream.ingested),
    }


def _none(value: int | None) -> int:
    return -1 if value is None else value


def _token(direction: str, stream: Stream, offset: int) -> str:
    return f"{direction}/{stream.id:020d}{offset:036d}/s"


def _offset(stream: Stream, token: str) -> tuple[str, int]:
    match = _TOKEN.fullmatch(token)
    if match is None or int(match[2]) != stream.id or not segments.is_boundary(stream.path, int(match[3])):
        raise TokenError(token)
    return match[1], int(match[3])


def _collect(
    lines: Iterator[segments.Line], offset: int, ahead: bool, start: int, end: int, limit: int
) -> tuple[list[Event], int]:
    """The events of a page in the order of time, and the offset that the reading reached."""
    events: list[Event] = []
    reached, size = offset, 0
    for at, behind, line in lines:
        event = segments.parse(line)
        if event is not None and start <= event[0] < end:
            size += len(event[1].encode()) + EVENT_OVERHEAD
            if events and size > PAGE_BYTES:
                break
            events.append(Event(*event))
        elif event is not None and (event[0] >= end + segments.SLACK if ahead else event[0] < start - segments.SLACK):
            break
        reached = behind if ahead else at
        if len(events) == limit or abs(reached - offset) > SCAN_LIMIT:
            break
    if not ahead:
        events.reverse()
    events.sort(key=lambda event: event.timestamp)
    return events, reached
