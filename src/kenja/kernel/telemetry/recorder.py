"""Recorder: the hot path's way into metrics. A value costs about a microsecond; nothing is durable before the next flush.

Values wait in memory, are put together to statistic sets per second, and reach the database about once a second from a
thread of the recorder's own. What does not fit (a database that is slow for long, too many metrics) is dropped and counted.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable

from kenja.core.clock import Clock
from kenja.core.log import logger
from kenja.kernel.telemetry.metrics import Dimensions, Metrics, Observation, Series
from kenja.kernel.telemetry.statistics import StatisticSet

FLUSH_EVERY = 1.0  # seconds
MAX_WAITING = 2_000  # values that wait before the thread that records the next one puts them together
MAX_VALUES = 200_000  # values that wait at most
MAX_SETS = 20_000  # statistic sets (metric, unit and second) that wait for the database at most

Columns = tuple[tuple[Series, str], ...]  # metrics and their units
_log = logger(__name__)


class Recorder:
    """Thread safe. `close` flushes; what was recorded after the last flush is lost when the process is killed."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self.dropped = 0  # values that were not kept; a few more when many threads drop at once
        self._metrics = metrics
        self._now: Callable[[], float] = clock.virtual
        self._waiting: deque[tuple[Series, str, float, float]] = deque()
        self._rows: deque[tuple[Columns, float, tuple[float, ...]]] = deque()
        self._sets: dict[Observation, StatisticSet] = {}
        self._gather_lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(  # noqa: TID251 - ends with `close`, its owner the gateway
            target=self._run, name="kenja-metrics", daemon=True
        )
        self._thread.start()

    def record(
        self, account: str, region: str, namespace: str, metric: str, dimensions: Dimensions, value: float, unit: str
    ) -> None:
        """Add one value now. `dimensions` are sorted by name (`metrics.dimensions`); `value` is finite."""
        self.record_in(Series(account, region, namespace, metric, dimensions), value, unit)

    def record_in(self, series: Series, value: float, unit: str) -> None:
        """`record` for callers that keep the Series of what they measure."""
        waiting = self._waiting
        if len(waiting) >= MAX_WAITING and not self._gather(wait=False) and len(waiting) >= MAX_VALUES:
            self.dropped += 1
            return
        waiting.append((series, unit, self._now(), value))

    def record_row(self, columns: Columns, values: tuple[float, ...]) -> None:
        """One value for each of several metrics that are always measured together; callers keep `columns`."""
        rows = self._rows
        if len(rows) >= MAX_WAITING and not self._gather(wait=False) and len(rows) >= MAX_VALUES:
            self.dropped += len(values)
            return
        rows.append((columns, self._now(), values))

    def flush(self) -> None:
        """Bring everything recorded so far into the database. Raises what the database raises, and keeps the values."""
        with self._flush_lock:
            self._gather(wait=True)
            with self._gather_lock:
                sets, self._sets = self._sets, {}
            try:
                self._metrics.merge(sets)
            except Exception:
                with self._gather_lock:
                    for at, values in sets.items():
                        self._add(at, values)
                raise

    def close(self) -> None:
        """Stop the thread and flush."""
        self._stop.set()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_EVERY):
            try:
                self.flush()
            except Exception:
                _log.exception("metrics could not be written; they are kept in memory and tried again")

    def _gather(self, *, wait: bool) -> bool:
        """Put waiting values together; False when another thread does so just now and `wait` is not asked for."""
        if not self._gather_lock.acquire(blocking=wait):
            return False
        try:
            groups: defaultdict[tuple[Series, str, int], list[float]] = defaultdict(list)
            waiting = self._waiting
            for _ in range(len(waiting)):
                series, unit, at, value = waiting.popleft()
                groups[series, unit, int(at)].append(value)
            self._gather_rows(groups)
            for (series, unit, second), values in groups.items():
                added = StatisticSet()
                added.add(values)
                self._add(Observation(series, unit, second, 1), added)
        finally:
            self._gather_lock.release()
        return True

    def _gather_rows(self, groups: defaultdict[tuple[Series, str, int], list[float]]) -> None:
        """Turn rows into columns; rows are told apart by the identity of their columns, which costs no hash of names."""
        tables: dict[tuple[int, int], tuple[Columns, list[tuple[float, ...]]]] = {}
        rows = self._rows
        for _ in range(len(rows)):
            columns, at, values = rows.popleft()
            tables.setdefault((id(columns), int(at)), (columns, []))[1].append(values)
        for (_, second), (columns, table) in tables.items():
            for (series, unit), column in zip(columns, zip(*table, strict=True), strict=True):
                groups[series, unit, second].extend(column)

    def _add(self, at: Observation, values: StatisticSet) -> None:
        present = self._sets.get(at)
        if present is not None:
            present.merge(values)
        elif len(self._sets) < MAX_SETS:
            self._sets[at] = values
        else:
            self.dropped += int(values.count)
