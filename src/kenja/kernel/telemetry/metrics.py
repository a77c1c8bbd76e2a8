"""Metrics: bounded series of statistic sets at four resolutions, per account and region. No AWS errors and no statistics' names.

Every value is added to each resolution that it belongs to, in one transaction; one process writes at a time, so that
sets of several processes merge without loss. Old points go by the virtual clock. Thread safe.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.telemetry import statistics
from kenja.kernel.telemetry.metric_index import INGESTED, METADATA, METRIC, POINT
from kenja.kernel.telemetry.statistics import StatisticSet

DAY = 24 * 60 * 60  # seconds
RETENTION = {1: 3 * 60 * 60, 60: 15 * DAY, 300: 63 * DAY, 3600: 455 * DAY}  # seconds by resolution; CloudWatch concepts
RECENT = 3 * 60 * 60  # seconds; ListMetrics: RecentlyActive PT3H
LISTED = 15 * DAY  # seconds; ListMetrics shows metrics with data in the past two weeks
PRUNE_EVERY = 300.0  # seconds between two sweeps of one process
_BATCH = 200  # rows per statement
_LOCK = 461331460706  # of PostgreSQL's advisory locks: the one writer of metrics

Dimensions = tuple[tuple[str, str], ...]  # (name, value), sorted by name


class Series(NamedTuple):
    """One metric of one account and region."""

    account: str
    region: str
    namespace: str
    name: str
    dimensions: Dimensions = ()


@dataclass(frozen=True, slots=True)
class Datum:
    """What a caller puts: the values of one metric at one moment."""

    name: str
    values: StatisticSet
    timestamp: float  # seconds since the epoch
    dimensions: Dimensions = ()
    unit: str = "None"
    resolution: int = 60  # seconds: 1 or 60


@dataclass(frozen=True, slots=True)
class Point:
    """The values of one period; merging it into another set leaves it as it is."""

    start: int  # seconds since the epoch
    unit: str
    values: StatisticSet


class Filter(NamedTuple):
    """Which metrics are listed: those that have all these dimensions, with any value where it is None."""

    namespace: str | None = None
    name: str | None = None
    dimensions: Sequence[tuple[str, str | None]] = ()
    recent: bool = False  # only those with data in the past three hours


class Observation(NamedTuple):
    """Where a statistic set belongs."""

    series: Series
    unit: str
    start: int  # seconds since the epoch
    resolution: int  # seconds: the finest series that holds it


class Metrics:
    """All metrics of all accounts and regions."""

    def __init__(self, database_url: str, clock: Clock) -> None:
        self._database = Database(database_url, METADATA, "kenja.kernel.telemetry.metric_index.migrations")
        self._clock = clock
        statement = (sqlite if self._database.is_sqlite else postgresql).insert(POINT)
        changes = {name: statement.excluded[name] for name in ("count", "sum", "minimum", "maximum", "sketch")}
        self._upsert = statement.on_conflict_do_update(index_elements=_POINT_KEY, set_=changes)
        self._lock = threading.Lock()
        self._pruned = clock.monotonic()

    def put(self, account: str, region: str, namespace: str, data: Sequence[Datum]) -> None:
        """Add data to their metrics, which are made if need be; durable when it returns."""
        self.merge(_observations(account, region, namespace, data))

    def put_from(
        self, source: str, position: int, until: int, account: str, region: str, namespace: str, data: Sequence[Datum]
    ) -> bool:
        """Add what was read from `source` between two positions, exactly once; False when others read it before.

        Nothing is added unless the last call for this source (of any process) ended at `position`; a new source is at 0.
        """
        with self._database.transaction() as connection:
            self._enter(connection)
            present = connection.execute(select(INGESTED.c.position).where(INGESTED.c.source == source)).scalar()
            if (present or 0) != position:
                return False
            if present is None:
                connection.execute(insert(INGESTED), {"source": source, "position": until})
            else:
                connection.execute(update(INGESTED).where(INGESTED.c.source == source).values(position=until))
            self._merge(connection, _observations(account, region, namespace, data))
        return True

    def position(self, source: str) -> int:
        """How far a source was read by `put_from`; 0 for a new one."""
        with self._database.reading() as connection:
            return connection.execute(select(INGESTED.c.position).where(INGESTED.c.source == source)).scalar() or 0

    def forget(self, source: str) -> None:
        """Drop the position of a source that will not be read again."""
        with self._database.transaction() as connection:
            connection.execute(delete(INGESTED).where(INGESTED.c.source == source))

    def merge(self, sets: Mapping[Observation, StatisticSet]) -> None:
        """Add statistic sets to the series; all of them or, when it raises, none."""
        if not sets:
            return
        with self._database.transaction() as connection:
            self._enter(connection)
            self._merge(connection, sets)
            if self._is_time_to_prune():
                self._prune(connection)

    def points(self, series: Series, start: int, end: int, period: int, unit: str | None = None) -> list[Point]:
        """The points with start <= time < end, put together to periods that begin at `start`; by time, then unit.

        The coarsest series that fits is read, so a point is there as long as AWS keeps it for this period and start.
        Empty when no series fits (a start that is no multiple of a minute with a period of minutes, say).
        """
        fitting = [resolution for resolution in RETENTION if period % resolution == 0 and start % resolution == 0]
        if not fitting:
            return []
        resolution = max(fitting)
        oldest = int(self._clock.virtual()) - RETENTION[resolution]
        with self._database.reading() as connection:
            metric = connection.execute(_FIND, _key(series, _digest(series.dimensions))).first()
        if metric is None:
            return []
        query = select(POINT).where(
            POINT.c.metric == metric.id,
            POINT.c.resolution == resolution,
            POINT.c.start >= max(start, oldest),
            POINT.c.start < end,
        )
        if unit is not None:
            query = query.where(POINT.c.unit == unit)
        merged: dict[tuple[int, str], StatisticSet] = {}
        with self._database.reading() as connection:
            for row in connection.execute(query):
                at = row.start - (row.start - start) % period
                merged.setdefault((at, row.unit), StatisticSet()).merge(_set(row))
        return [Point(at, name, merged[at, name]) for at, name in sorted(merged)]

    def list_metrics(
        self, account: str, region: str, wanted: Filter, limit: int, after: int = 0
    ) -> tuple[list[Series], int | None]:
        """At most `limit` metrics, oldest first, and the `after` of the next page (None when there is none)."""
        oldest = int(self._clock.virtual()) - (RECENT if wanted.recent else LISTED)
        query = select(METRIC).where(METRIC.c.account == account, METRIC.c.region == region, METRIC.c.last >= oldest)
        if wanted.namespace is not None:
            query = query.where(METRIC.c.namespace == wanted.namespace)
        if wanted.name is not None:
            query = query.where(METRIC.c.name == wanted.name)
        found: list[Series] = []
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(query.where(METRIC.c.id > after).order_by(METRIC.c.id).limit(limit)).all()
            for row in rows:
                series = Series(row.account, row.region, row.namespace, row.name, _dimensions(row.dimensions))
                if not _has(series.dimensions, wanted.dimensions):
                    continue
                if len(found) == limit:
                    return found, after
                found.append(series)
                after = row.id
            if len(rows) < limit:
                return found, None
            after = rows[-1].id

    def empty(self, account: str) -> None:
        """Remove every metric of an account."""
        owned = select(METRIC.c.id).where(METRIC.c.account == account)
        with self._database.transaction() as connection:
            self._enter(connection)
            connection.execute(delete(POINT).where(POINT.c.metric.in_(owned)))
            connection.execute(delete(METRIC).where(METRIC.c.account == account))

    def close(self) -> None:
        """Release the database."""
        self._database.close()

    def _enter(self, connection: Connection) -> None:
        """Be the only writer until the transaction ends; SQLite's transactions are exclusive anyway."""
        if not self._database.is_sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))

    def _merge(self, connection: Connection, sets: Mapping[Observation, StatisticSet]) -> None:
        ids = self._ids(connection, sets)
        points: dict[tuple[int, int, int, str], StatisticSet] = {}
        for at, values in sets.items():
            for resolution in RETENTION:
                if resolution >= at.resolution:
                    key = (ids[at.series], resolution, at.start - at.start % resolution, at.unit)
                    points.setdefault(key, StatisticSet()).merge(values)
        keys = list(points)
        for first in range(0, len(keys), _BATCH):
            for row in connection.execute(_PRESENT, {"keys": keys[first : first + _BATCH]}):
                points[row.metric, row.resolution, row.start, row.unit].merge(_set(row))
        connection.execute(self._upsert, [_row(key, values) for key, values in points.items()])

    def _ids(self, connection: Connection, sets: Iterable[Observation]) -> dict[Series, int]:
        """The row of every series, made if need be; remembers when it last had data, to the minute."""
        last: dict[Series, int] = {}
        for at in sets:
            last[at.series] = max(last.get(at.series, 0), at.start - at.start % 60)
        ids: dict[Series, int] = {}
        for series, minute in last.items():
            digest = _digest(series.dimensions)
            row = connection.execute(_FIND, _key(series, digest)).first()
            if row is None:
                values = {
                    **_key(series, digest),
                    "dimensions": orjson.dumps(series.dimensions).decode(),
                    "last": minute,
                }
                ids[series] = connection.execute(_NEW, values).scalar_one()
                continue
            ids[series] = row.id
            if row.last < minute:
                connection.execute(_TOUCH, {"row": row.id, "minute": minute})
        return ids

    def _is_time_to_prune(self) -> bool:
        with self._lock:
            now = self._clock.monotonic()
            if now - self._pruned < PRUNE_EVERY:
                return False
            self._pruned = now
            return True

    def _prune(self, connection: Connection) -> None:
        now = int(self._clock.virtual())
        old = [and_(POINT.c.resolution == r, POINT.c.start < now - seconds) for r, seconds in RETENTION.items()]
        connection.execute(delete(POINT).where(or_(*old)))
        stale = METRIC.c.last < now - max(RETENTION.values())
        connection.execute(delete(METRIC).where(stale, ~exists().where(POINT.c.metric == METRIC.c.id)))


_FIND = select(METRIC.c.id, METRIC.c.last).where(
    *(METRIC.c[name] == bindparam(name) for name in ("account", "region", "namespace", "name", "digest"))
)
_NEW = insert(METRIC).returning(METRIC.c.id)
_TOUCH = update(METRIC).where(METRIC.c.id == bindparam("row")).values(last=bindparam("minute"))
_POINT_KEY = (POINT.c.metric, POINT.c.resolution, POINT.c.start, POINT.c.unit)
_PRESENT = select(POINT).where(tuple_(*_POINT_KEY).in_(bindparam("keys", expanding=True)))


def dimensions(pairs: Iterable[tuple[str, str]]) -> Dimensions:
    """Dimensions in the order in which a metric is known by them."""
    return tuple(sorted(pairs))


def _observations(account: str, region: str, namespace: str, data: Sequence[Datum]) -> dict[Observation, StatisticSet]:
    sets: dict[Observation, StatisticSet] = {}
    for datum in data:
        series = Series(account, region, namespace, datum.name, datum.dimensions)
        start = int(datum.timestamp) // datum.resolution * datum.resolution
        sets.setdefault(Observation(series, datum.unit, start, datum.resolution), StatisticSet()).merge(datum.values)
    return sets


def _key(series: Series, digest: str) -> dict[str, str]:
    return {
        "account": series.account, "region": series.region, "namespace": series.namespace, "name": series.name,
        "digest": digest,
    }  # fmt: skip


def _digest(pairs: Dimensions) -> str:
    return hashlib.sha256(orjson.dumps(pairs)).hexdigest()


def _dimensions(text: str) -> Dimensions:
    return tuple((name, value) for name, value in orjson.loads(text))


def _has(pairs: Dimensions, wanted: Sequence[tuple[str, str | None]]) -> bool:
    present = dict(pairs)
    return all(name in present and value in (None, present[name]) for name, value in wanted)


def _set(row: Any) -> StatisticSet:
    return statistics.unpacked(row.count, row.sum, row.minimum, row.maximum, row.sketch)


def _row(key: tuple[int, int, int, str], values: StatisticSet) -> dict[str, Any]:
    metric, resolution, start, unit = key
    return {
        "metric": metric, "resolution": resolution, "start": start, "unit": unit, "count": values.count, "sum": values.sum,
        "minimum": values.minimum, "maximum": values.maximum, "sketch": values.packed(),
    }  # fmt: skip
