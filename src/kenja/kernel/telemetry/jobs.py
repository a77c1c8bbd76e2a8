"""From a job's metrics.jsonl (what the shim read out of its log) to metric series and last values. It reads no logs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson

from kenja.kernel.resources.store import Scope
from kenja.kernel.telemetry.metrics import Datum, Metrics, dimensions
from kenja.kernel.telemetry.statistics import StatisticSet

FILE = "metrics.jsonl"


def ingest(metrics: Metrics, folder: Path, scope: Scope, namespace: str, labels: Mapping[str, str]) -> None:
    """Add what the job has told since the last call to its series, exactly once whoever calls."""
    path = folder / FILE
    if not path.exists():
        return
    source = f"{folder.name}/{FILE}"
    start = metrics.position(source)
    with path.open("rb") as file:
        file.seek(start)
        text = file.read()
    end = start + text.rfind(b"\n") + 1  # a line that is still being written waits for the next call
    if end <= start:
        return
    pairs = dimensions(labels.items())
    data = []
    for milliseconds, name, value in _values(text[: end - start]):
        one = StatisticSet()
        one.add([value])
        data.append(Datum(name, one, milliseconds / 1000, pairs))
    metrics.put_from(source, start, end, scope.account, scope.region, namespace, data)


def last_values(folder: Path) -> dict[str, tuple[float, float]]:
    """The last (seconds, value) of every metric of a job, in the order in which they first appeared."""
    path = folder / FILE
    if not path.exists():
        return {}
    found: dict[str, tuple[float, float]] = {}
    for milliseconds, name, value in _values(path.read_bytes()):
        found[name] = (milliseconds / 1000, value)
    return found


def _values(text: bytes) -> Iterator[tuple[int, str, float]]:
    for line in text.splitlines():
        try:
            milliseconds, name, value = orjson.loads(line)
        except (ValueError, TypeError):
            continue  # the shim was killed within this line
        if math.isfinite(value):  # a script may print nan; a series of it would mean nothing
            yield milliseconds, name, value
