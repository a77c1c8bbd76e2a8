"""Statistics: GetMetricStatistics, and the names of statistics for GetMetricData."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.telemetry.metrics import Series
from kenja.kernel.telemetry.statistics import StatisticSet
from kenja.services.cloudwatch.service import bounds, checked_text, is_period, series_dimensions, service

MAX_POINTS = 1440  # data points of one GetMetricStatistics
PERIODS = "1, 5, 10, 20, 30 or a multiple of 60 seconds"

Statistic = Callable[[StatisticSet], float | None]
NAMED: dict[str, Statistic] = {
    "SampleCount": lambda values: values.count,
    "Average": lambda values: values.sum / values.count,
    "Sum": lambda values: values.sum,
    "Minimum": lambda values: values.minimum,
    "Maximum": lambda values: values.maximum,
}
_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d{1,10})?)")


@service.operation("GetMetricStatistics")
def get_metric_statistics(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The data points of one metric, by time; one per unit where its data have several."""
    named, extended = request.get("Statistics", ()), request.get("ExtendedStatistics", ())
    if not named and not extended:
        raise context.error("missing", "The parameter Statistics or ExtendedStatistics is required.")
    if named and extended:
        raise context.error(
            "combination", "Statistics and ExtendedStatistics exclude each other; ask for them in two calls."
        )
    statistics = {name: _percentile(context, name) for name in extended}
    period = request["Period"]
    if not is_period(period):
        raise context.error("value", f"The parameter Period must be {PERIODS}; it is {period}.")
    if request["StartTime"] >= request["EndTime"]:
        raise context.error("value", "The parameter StartTime must be less than the parameter EndTime.")
    start, end = bounds(context.kernel.clock.virtual(), request, period)
    if (points := math.ceil((end - start) / period)) > MAX_POINTS:
        raise context.error(
            "combination",
            f"You have requested up to {points:,} datapoints, which exceeds the limit of {MAX_POINTS:,}. "
            "You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
        )
    found = context.kernel.metrics.points(_series(context, request), start, end, period, request.get("Unit"))
    datapoints = []
    for point in found:
        view: dict[str, Any] = {"Timestamp": utc(point.start), "Unit": point.unit}
        view.update({name: NAMED[name](point.values) for name in named})
        values = {name: value for name, compute in statistics.items() if (value := compute(point.values)) is not None}
        if extended and not values:
            continue
        if values:
            view["ExtendedStatistics"] = values
        datapoints.append(view)
    return {"Label": request["MetricName"], "Datapoints": datapoints}


def statistic(name: str) -> Statistic | None:
    """The statistic of this name, or None when there is none (yet)."""
    if name in NAMED:
        return NAMED[name]
    match = _PERCENTILE.fullmatch(name)
    if match is None or (percent := float(match[1])) > 100:
        return None
    return lambda values: values.percentile(percent)


def _percentile(context: Context, name: str) -> Statistic:
    found = None if name in NAMED else statistic(name)
    if found is None:
        raise context.error(
            "value",
            f"The value {name} for parameter ExtendedStatistics is invalid: percentiles from p0 to p100 are served "
            "(p99, p99.9), trimmed statistics not yet.",
        )
    return found


def _series(context: Context, request: dict[str, Any]) -> Series:
    return Series(
        context.account,
        context.region,
        checked_text(context, "Namespace", request["Namespace"]),
        checked_text(context, "MetricName", request["MetricName"]),
        series_dimensions(context, request.get("Dimensions", ())),
    )
