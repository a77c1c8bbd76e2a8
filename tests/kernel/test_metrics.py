"""The metric store on both databases: exact statistics, percentiles within the sketch's error, writers in parallel."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from kenja.core.clock import Clock
from kenja.kernel.telemetry import metrics as telemetry
from kenja.kernel.telemetry import recorder as recorders
from kenja.kernel.telemetry import statistics
from kenja.kernel.telemetry.metrics import DAY, Datum, Filter, Metrics, Series
from kenja.kernel.telemetry.recorder import Recorder
from kenja.kernel.telemetry.statistics import ACCURACY, MAX_BUCKETS, StatisticSet

WORLD = ("000000000000", "us-east-1")
SERIES = Series(*WORLD, "App", "Latency", (("Stage", "test"),))
NOW = int(time.time()) // 3600 * 3600  # the start of an hour, so that tests know their periods


@dataclass(frozen=True)
class Stopped(Clock):
    """A virtual clock that stands."""

    at: float = NOW

    def virtual(self) -> float:
        return self.at


@pytest.fixture
def metrics(database_url: str) -> Iterator[Metrics]:
    store = Metrics(database_url, Stopped())
    yield store
    store.close()


def datum(values: list[float], at: float, resolution: int = 60, unit: str = "Seconds") -> Datum:
    return Datum("Latency", statistics.of(values), at, (("Stage", "test"),), unit, resolution)


def total(points: list[telemetry.Point]) -> StatisticSet:
    result = StatisticSet()
    for point in points:
        result.merge(point.values)
    return result


@pytest.mark.parametrize("period", [1, 10, 60, 120, 300, 3600])
def test_every_period_has_the_statistics_that_numpy_finds(metrics: Metrics, period: int) -> None:
    generator = np.random.default_rng(7)
    values = generator.lognormal(3, 2, 3000)
    times = np.sort(generator.uniform(NOW - 3600, NOW, 3000))
    for at in range(0, 3000, 100):
        data = [
            datum([float(v)], float(t), 1) for v, t in zip(values[at : at + 100], times[at : at + 100], strict=True)
        ]
        metrics.put(*WORLD, "App", data)
    points = metrics.points(SERIES, NOW - 3600, NOW, period)
    assert [point.start for point in points] == sorted({int(t) - int(t) % period for t in times})
    for point in points:
        held = values[(times >= point.start) & (times < point.start + period)]
        assert point.values.count == len(held)
        assert point.values.sum == pytest.approx(held.sum())
        assert (point.values.minimum, point.values.maximum) == (held.min(), held.max())
        for percent in (0, 25, 50, 90, 99, 100):
            exact = np.percentile(held, percent, method="lower")
            assert point.values.percentile(percent) == pytest.approx(exact, rel=ACCURACY * 1.0001)


def test_periods_begin_where_the_caller_starts(metrics: Metrics) -> None:
    metrics.put(*WORLD, "App", [datum([float(minute)], NOW - 3600 + minute * 60) for minute in range(60)])
    points = metrics.points(SERIES, NOW - 3600 + 7 * 60, NOW, 600)
    assert [(point.start - NOW + 3600) // 60 for point in points] == [7, 17, 27, 37, 47, 57]
    assert points[0].values.sum == sum(range(7, 17))
    assert metrics.points(SERIES, NOW - 3599, NOW, 60) == []


def test_units_and_dimensions_keep_apart(metrics: Metrics) -> None:
    metrics.put(*WORLD, "App", [datum([1.0], NOW - 60), datum([2.0], NOW - 60, unit="Count")])
    assert [(p.unit, p.values.sum) for p in metrics.points(SERIES, NOW - 60, NOW, 60)] == [
        ("Count", 2.0),
        ("Seconds", 1.0),
    ]
    assert [p.values.sum for p in metrics.points(SERIES, NOW - 60, NOW, 60, "Count")] == [2.0]
    for other in (
        SERIES._replace(dimensions=()),
        SERIES._replace(account="1" * 12),
        SERIES._replace(region="eu-west-1"),
    ):
        assert metrics.points(other, NOW - 60, NOW, 60) == []


def test_standard_data_have_no_seconds(metrics: Metrics) -> None:
    metrics.put(*WORLD, "App", [datum([1.0], NOW - 30)])
    assert metrics.points(SERIES, NOW - 60, NOW, 1) == []
    assert [point.start for point in metrics.points(SERIES, NOW - 60, NOW, 60)] == [NOW - 60]


@pytest.mark.parametrize(
    ("age", "seen"),
    [
        (2 * 3600, {1, 60, 300, 3600}),
        (10 * DAY, {60, 300, 3600}),
        (20 * DAY, {300, 3600}),
        (100 * DAY, {3600}),
        (460 * DAY, set()),
    ],
)
def test_points_go_when_their_time_is_over(
    metrics: Metrics, database_url: str, age: int, seen: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics.put(*WORLD, "App", [datum([1.0], NOW, 1)])
    monkeypatch.setattr(telemetry, "PRUNE_EVERY", 0.0)
    later = Metrics(database_url, Stopped(at=NOW + age))
    assert {p for p in telemetry.RETENTION if later.points(SERIES, NOW, NOW + 3600, p)} == seen
    later.put(*WORLD, "App", [Datum("Other", statistics.of([1.0]), NOW + age)])  # sweeps
    early = Metrics(database_url, Stopped())
    assert {p for p in telemetry.RETENTION if early.points(SERIES, NOW, NOW + 3600, p)} == seen
    later.close()
    early.close()


def test_a_summary_has_percentiles_only_where_it_stands_for_one_value(metrics: Metrics) -> None:
    summary = statistics.summary(4, 10.0, 1.0, 4.0)
    metrics.put(*WORLD, "App", [Datum("Latency", summary, NOW - 60, (("Stage", "test"),))])
    values = metrics.points(SERIES, NOW - 60, NOW, 60)[0].values
    assert (values.count, values.sum, values.minimum, values.maximum) == (4, 10.0, 1.0, 4.0)
    assert values.percentile(50) is None
    assert statistics.summary(3, 6.0, 2.0, 2.0).percentile(50) == pytest.approx(2.0)


def test_negative_values_have_no_percentiles() -> None:
    assert statistics.of([-1.0, 2.0]).percentile(50) is None
    assert statistics.of([0.0, 0.0, 5.0]).percentile(50) == 0.0


def test_a_sketch_stays_bounded_and_survives_packing() -> None:
    values = np.geomspace(1e-100, 1e100, 30_000)
    held = StatisticSet()
    for part in np.array_split(values, 30):
        held.merge(statistics.of(part.tolist()))
    assert len(held.buckets) <= MAX_BUCKETS
    copy = statistics.unpacked(held.count, held.sum, held.minimum, held.maximum, held.packed())
    assert copy == held
    assert copy.percentile(99) == pytest.approx(np.percentile(values, 99, method="lower"), rel=ACCURACY)


def test_counts_weigh_values() -> None:
    held = statistics.of([1.0, 100.0], [9.0, 1.0])
    assert (held.count, held.sum) == (10, 109.0)
    assert held.percentile(50) == pytest.approx(1.0, rel=ACCURACY)


def test_the_smallest_and_the_largest_numbers_have_buckets_in_order() -> None:
    numbers = [-(2.0**360), -1.0, -5e-324, 0.0, 5e-324, 1e-30, 1.0, 2.0**360]
    buckets = [statistics.bucket(number) for number in numbers]
    assert buckets == sorted(buckets)
    assert len(set(buckets)) == len(numbers)


def test_ingestion_happens_exactly_once(metrics: Metrics) -> None:
    data = [datum([1.0], NOW - 60)]
    assert metrics.position("job-1") == 0
    assert metrics.put_from("job-1", 0, 120, *WORLD, "App", data)
    assert not metrics.put_from("job-1", 0, 250, *WORLD, "App", data)  # an adopter that began before
    assert metrics.position("job-1") == 120
    assert metrics.put_from("job-1", 120, 250, *WORLD, "App", data)
    assert total(metrics.points(SERIES, NOW - 60, NOW, 60)).count == 2
    metrics.forget("job-1")
    assert metrics.position("job-1") == 0


def test_a_failed_ingestion_moves_nothing(metrics: Metrics) -> None:
    with pytest.raises(AttributeError):
        metrics.put_from("job-1", 0, 10, *WORLD, "App", [datum([1.0], NOW - 60), Datum("x", None, NOW)])  # type: ignore[arg-type]
    assert metrics.position("job-1") == 0
    assert metrics.points(SERIES, NOW - 60, NOW, 60) == []


def _write(url: str, count: int) -> None:
    store = Metrics(url, Stopped())
    for number in range(count):
        store.put(*WORLD, "App", [datum([float(number + 1)], NOW - 60)])
    store.close()


def test_several_processes_write_one_series(metrics: Metrics, database_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write, args=(database_url, 40)) for _ in range(2)]
    for writer in writers:
        writer.start()
    threads = [threading.Thread(target=_write, args=(database_url, 40)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for member in [*writers, *threads]:
        member.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    values = metrics.points(SERIES, NOW - 60, NOW, 60)[0].values
    assert (values.count, values.sum) == (160, 4 * sum(range(1, 41)))
    assert sum(values.buckets.values()) == 160


def test_metrics_are_listed_with_filters_over_pages(metrics: Metrics) -> None:
    names = [Datum(f"M{n}", statistics.of([1.0]), NOW - 60, (("A", str(n % 2)), ("B", "x"))) for n in range(9)]
    metrics.put(*WORLD, "App", names)
    metrics.put(*WORLD, "Old", [Datum("Gone", statistics.of([1.0]), NOW - 20 * DAY)])
    metrics.put(*WORLD, "Old", [Datum("Quiet", statistics.of([1.0]), NOW - 4 * 3600)])
    seen, after = metrics.list_metrics(*WORLD, Filter(), 4)
    while after is not None:
        more, after = metrics.list_metrics(*WORLD, Filter(), 4, after)
        seen += more
    assert [series.name for series in seen] == [*(f"M{n}" for n in range(9)), "Quiet"]
    odd = Filter("App", None, [("A", "1"), ("B", None)])
    assert [series.name for series in metrics.list_metrics(*WORLD, odd, 10)[0]] == ["M1", "M3", "M5", "M7"]
    assert metrics.list_metrics(*WORLD, odd, 2)[1] is not None
    assert metrics.list_metrics(*WORLD, Filter(dimensions=[("C", None)]), 10) == ([], None)
    assert [s.name for s in metrics.list_metrics(*WORLD, Filter("Old", recent=True), 10)[0]] == []
    assert metrics.list_metrics("1" * 12, WORLD[1], Filter(), 10) == ([], None)


def test_emptying_an_account_leaves_the_others(metrics: Metrics) -> None:
    metrics.put(*WORLD, "App", [datum([1.0], NOW - 60)])
    metrics.put("1" * 12, WORLD[1], "App", [datum([1.0], NOW - 60)])
    metrics.empty(WORLD[0])
    assert metrics.points(SERIES, NOW - 60, NOW, 60) == []
    assert metrics.points(SERIES._replace(account="1" * 12), NOW - 60, NOW, 60)
    metrics.put(*WORLD, "App", [datum([3.0], NOW - 60)])
    assert total(metrics.points(SERIES, NOW - 60, NOW, 60)).sum == 3.0


def test_a_recorder_loses_nothing_of_many_threads(metrics: Metrics) -> None:
    recorder = Recorder(metrics, Stopped())

    def work() -> None:
        for number in range(5000):
            recorder.record(*WORLD, "App", "Latency", (("Stage", "test"),), float(number % 100 + 1), "Milliseconds")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()
    values = metrics.points(SERIES, NOW, NOW + 1, 1)[0].values
    assert recorder.dropped == 0
    assert (values.count, values.sum) == (20_000, 200 * sum(range(1, 101)))
    assert values.percentile(50) == pytest.approx(50, rel=0.03)


def test_a_recorder_flushes_by_itself(metrics: Metrics) -> None:
    recorder = Recorder(metrics, Stopped())
    recorder.record_in(SERIES, 2.0, "Count")
    end = time.monotonic() + 10
    while not metrics.points(SERIES, NOW, NOW + 60, 60) and time.monotonic() < end:
        time.sleep(0.05)
    assert total(metrics.points(SERIES, NOW, NOW + 60, 60)).sum == 2.0
    recorder.close()


def test_a_recorder_is_bounded_and_counts_what_it_drops(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "MAX_SETS", 10)
    monkeypatch.setattr(recorders, "FLUSH_EVERY", 1000.0)
    recorder = Recorder(metrics, Stopped())
    for number in range(15):
        recorder.record(*WORLD, "App", f"M{number}", (), 1.0, "Count")
    recorder.close()
    assert recorder.dropped == 5
    assert len(metrics.list_metrics(*WORLD, Filter(), 100)[0]) == 10


def test_a_recorder_keeps_its_values_while_the_database_fails(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(metrics, Stopped())
    recorder.record_in(SERIES, 1.0, "Count")
    with monkeypatch.context() as broken:
        broken.setattr(metrics, "_merge", lambda connection, sets: connection.exec_driver_sql("SELECT * FROM nowhere"))
        with pytest.raises(Exception, match="nowhere"):
            recorder.flush()
    recorder.record_in(SERIES, 2.0, "Count")
    recorder.close()
    assert total(metrics.points(SERIES, NOW, NOW + 60, 60)).sum == 3.0
