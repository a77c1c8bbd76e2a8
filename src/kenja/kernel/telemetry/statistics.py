"""Statistic sets: what a metric keeps of many values. Merging is exact but for percentiles, which a sketch estimates.

The sketch is DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch", VLDB 2019, section 2):
values fall into buckets whose bounds grow by GAMMA, so that a percentile is off by at most ACCURACY of its own value.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

ACCURACY = 0.01  # relative error of a percentile
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
MAX_BUCKETS = (
    2048  # spans a factor of e**40 between the largest and the smallest value; the smallest ones share one beyond that
)
_SCALE = 1 / math.log(GAMMA)
_OFFSET = (
    40_000  # bucket of the value 1.0; above the bucket number of the smallest double, so that 0 is the bucket of 0.0
)
_ENTRY = array("i").itemsize + array("d").itemsize


@dataclass(slots=True)
class StatisticSet:
    """Count, sum, extremes and buckets of values. The buckets hold fewer than `count` when only a summary was given."""

    count: float = 0.0
    sum: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf
    buckets: dict[int, float] = field(default_factory=dict)  # bucket -> count; ordered like the values they stand for

    def add(self, values: Sequence[float], counts: Sequence[float] | None = None) -> None:
        """Add values, each as often as its count says or once."""
        if not values:
            return
        weights = [1.0] * len(values) if counts is None else counts
        self.count += sum(weights)
        self.sum += sum(values) if counts is None else sum(map(operator.mul, values, weights))
        self.minimum = min(self.minimum, *values)
        self.maximum = max(self.maximum, *values)
        buckets = self.buckets
        for number, weight in zip(map(bucket, values), weights, strict=True):
            buckets[number] = buckets.get(number, 0.0) + weight

    def merge(self, other: StatisticSet) -> None:
        """Add what another set holds."""
        self.count += other.count
        self.sum += other.sum
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        for number, count in other.buckets.items():
            self.buckets[number] = self.buckets.get(number, 0.0) + count
        if len(self.buckets) > MAX_BUCKETS:
            self._collapse()

    def percentile(self, percent: float) -> float | None:
        """The value below which `percent` percent of the values lie, within ACCURACY; None where values are not known.

        As on AWS there is none where a value is negative, or where a summary of several different values was put.
        """
        held = sum(self.buckets.values())
        if not held or self.minimum < 0 or held < self.count * (1 - 1e-9):
            return None
        rank, seen = percent / 100 * (held - 1), 0.0
        for number in sorted(self.buckets):
            seen += self.buckets[number]
            if seen > rank:
                return min(max(_middle(number), self.minimum), self.maximum)
        return self.maximum

    def packed(self) -> bytes:
        """The buckets as bytes."""
        return array("i", self.buckets.keys()).tobytes() + array("d", self.buckets.values()).tobytes()

    def _collapse(self) -> None:
        numbers = sorted(self.buckets)
        lowest = numbers[-MAX_BUCKETS]
        for number in numbers[:-MAX_BUCKETS]:
            self.buckets[lowest] += self.buckets.pop(number)


def of(values: Sequence[float], counts: Sequence[float] | None = None) -> StatisticSet:
    """The set of these values."""
    result = StatisticSet()
    result.add(values, counts)
    return result


def summary(count: float, total: float, minimum: float, maximum: float) -> StatisticSet:
    """The set of values of which only a summary is known; percentiles only where all are the same."""
    result = StatisticSet(count, total, minimum, maximum)
    if minimum == maximum and math.isclose(total, minimum * count):
        result.buckets[bucket(minimum)] = count
    return result


def unpacked(count: float, total: float, minimum: float, maximum: float, buckets: bytes) -> StatisticSet:
    """The set whose `packed` buckets these are."""
    entries = len(buckets) // _ENTRY
    numbers, counts = array("i"), array("d")
    numbers.frombytes(buckets[: entries * numbers.itemsize])
    counts.frombytes(buckets[entries * numbers.itemsize :])
    return StatisticSet(count, total, minimum, maximum, dict(zip(numbers, counts, strict=True)))


def bucket(value: float) -> int:
    """The number of a value's bucket; buckets are ordered like values."""
    if value > 0:
        return math.ceil(math.log(value) * _SCALE) + _OFFSET
    if value < 0:
        return -(math.ceil(math.log(-value) * _SCALE) + _OFFSET)
    return 0


def _middle(number: int) -> float:
    """The value that is at most ACCURACY away from every value of a bucket."""
    if number == 0:
        return 0.0
    size = 2 * math.exp((abs(number) - _OFFSET) / _SCALE) / (GAMMA + 1)
    return math.copysign(size, number)
