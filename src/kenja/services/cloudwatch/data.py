"""GetMetricData: many metrics in one paged answer. Metric math and Metrics Insights are refused until they come."""

from __future__ import annotations

import base64
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson

from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.telemetry.metrics import Series
from kenja.kernel.telemetry.statistics import StatisticSet
from kenja.services.cloudwatch.service import bounds, checked_text, is_period, series_dimensions, service
from kenja.services.cloudwatch.statistics import PERIODS, Statistic, statistic

MAX_QUERIES = 500  # GetMetricData
MAX_POINTS = 100_800  # data points of one page; GetMetricData
_ID = re.compile(r"[a-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class _Query:
    """One MetricStat query, checked."""

    id: str
    label: str
    series: Series
    period: int  # seconds
    statistic: Statistic
    unit: str | None
    returns: bool


@service.operation("GetMetricData", level=2)
def get_metric_data(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The values of each query, newest first unless ScanBy says otherwise, over as many pages as they need."""
    queries = _queries(context, request["MetricDataQueries"])
    if request["StartTime"] >= request["EndTime"]:
        raise context.error("validation", "The parameter StartTime must be less than the parameter EndTime.")
    room = request.get("MaxDatapoints", MAX_POINTS)
    if not 1 <= room <= MAX_POINTS:
        raise context.error("validation", f"The parameter MaxDatapoints must be from 1 to {MAX_POINTS}; it is {room}.")
    first, at = _position(context, request)
    ascending = request.get("ScanBy") == "TimestampAscending"
    results: list[dict[str, Any]] = []
    token = None
    for number, query in enumerate(queries):
        if number < first or not query.returns:
            continue
        if room == 0:
            token = _token(request, number, None)
            break
        values = _values(context, request, query, ascending)
        if number == first and at is not None:
            values = [pair for pair in values if (pair[0] > at if ascending else pair[0] < at)]
        page, rest = values[:room], values[room:]
        room -= len(page)
        results.append({
            "Id": query.id, "Label": query.label, "StatusCode": "PartialData" if rest else "Complete",
            "Timestamps": [utc(start) for start, _ in page], "Values": [value for _, value in page],
        })  # fmt: skip
        if rest:
            token = _token(request, number, page[-1][0])
            break
    answer: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
    if token is not None:
        answer["NextToken"] = token
    return answer


def _queries(context: Context, given: list[dict[str, Any]]) -> list[_Query]:
    if not 1 <= len(given) <= MAX_QUERIES:
        raise context.error(
            "validation", f"MetricDataQueries must have 1 to {MAX_QUERIES} members; it has {len(given)}."
        )
    repeated = [name for name, count in Counter(query["Id"] for query in given).items() if count > 1]
    if repeated:
        raise context.error(
            "validation", f"The Id {repeated[0]} occurs more than once; each query needs an Id of its own."
        )
    queries = [_query(context, query) for query in given]
    if not any(query.returns for query in queries):
        raise context.error("validation", "At least one query must have ReturnData true.")
    return queries


def _query(context: Context, given: dict[str, Any]) -> _Query:
    name = given["Id"]
    if not _ID.fullmatch(name):
        raise context.error(
            "validation", f"The Id {name!r} is invalid: a lower-case letter, then letters, digits and underscores."
        )
    if ("MetricStat" in given) == ("Expression" in given):
        raise context.error("validation", f"The query {name} needs either MetricStat or Expression.")
    if "Expression" in given:
        raise context.error(
            "validation", f"The query {name} has an Expression: metric math comes later; ask for its metrics instead."
        )
    if given.get("AccountId", context.account) != context.account:
        raise context.error("validation", f"The query {name} names another account; none is linked to this one.")
    stat = given["MetricStat"]
    metric, period = stat["Metric"], stat["Period"]
    if not is_period(period):
        raise context.error("validation", f"The Period of query {name} must be {PERIODS}; it is {period}.")
    found = statistic(stat["Stat"])
    if found is None:
        raise context.error(
            "validation",
            f"The Stat {stat['Stat']!r} of query {name} is invalid: SampleCount, Average, Sum, Minimum, Maximum and "
            "percentiles (p99, p99.9) are served, trimmed statistics not yet.",
        )
    for member in ("Namespace", "MetricName"):
        checked_text(context, f"Metric.{member}", metric.get(member, ""))
    series = Series(
        context.account, context.region, metric["Namespace"], metric["MetricName"],
        series_dimensions(context, metric.get("Dimensions", ())),
    )  # fmt: skip
    label = given.get("Label") or series.name
    return _Query(name, label, series, period, found, stat.get("Unit"), given.get("ReturnData", True))


def _values(context: Context, request: dict[str, Any], query: _Query, ascending: bool) -> list[tuple[int, float]]:
    """(start, value) of each period; data of several units count together, as one period has one value here."""
    start, end = bounds(context.kernel.clock.virtual(), request, query.period)
    merged: dict[int, StatisticSet] = {}
    for point in context.kernel.metrics.points(query.series, start, end, query.period, query.unit):
        merged.setdefault(point.start, StatisticSet()).merge(point.values)
    values = [(at, value) for at, held in merged.items() if (value := query.statistic(held)) is not None]
    return sorted(values, reverse=not ascending)


def _token(request: dict[str, Any], query: int, at: int | None) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([_bound(request), query, at])).decode()


def _position(context: Context, request: dict[str, Any]) -> tuple[int, int | None]:
    """(query, time) where the page begins."""
    token = request.get("NextToken")
    if token is None:
        return 0, None
    try:
        bound, query, at = orjson.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError):
        bound, query, at = None, 0, None
    if bound != _bound(request) or type(query) is not int or not (at is None or type(at) is int):
        raise context.error("token", "The NextToken is not one of this request; repeat the request that gave it.")
    return query, at


def _bound(request: dict[str, Any]) -> int:
    """A number that is the same for all pages of one request."""
    same = {name: value for name, value in request.items() if name not in ("NextToken", "MaxDatapoints")}
    return zlib.crc32(repr(sorted(same.items())).encode())
