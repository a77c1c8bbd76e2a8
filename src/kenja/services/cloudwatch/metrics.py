"""Metrics: PutMetricData and ListMetrics."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.telemetry import statistics
from kenja.kernel.telemetry.metrics import DAY, Datum, Filter, Series
from kenja.kernel.telemetry.statistics import StatisticSet
from kenja.services.cloudwatch.service import checked_text, series_dimensions, service

MAX_DATA = 1000  # metrics per call; PutMetricData
MAX_VALUES = 150  # different values per datum; PutMetricData
MAX_VALUE = 2.0**360  # MetricDatum.Value
PAST, FUTURE = 14 * DAY, 2 * 60 * 60  # seconds around now that a timestamp may lie; PutMetricData
LISTED = 500  # metrics of one page; ListMetrics


@service.operation("PutMetricData")
def put_metric_data(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Add data to metrics. All of a request is refused when one datum is wrong."""
    namespace = checked_text(context, "Namespace", request["Namespace"])
    if namespace.startswith("AWS/"):
        raise context.error("value", f"The value {namespace} for parameter Namespace is invalid: AWS/ is AWS's own.")
    given = list(request.get("MetricData", ()))
    for entity in request.get("EntityMetricData", ()):
        given += entity.get("MetricData", ())
    if not given:
        raise context.error("missing", "The parameter MetricData is required.")
    if len(given) > MAX_DATA:
        raise context.error(
            "value", f"The collection MetricData must not have a size greater than {MAX_DATA}; it has {len(given)}."
        )
    now = context.kernel.clock.virtual()
    data = [_datum(context, f"MetricData.member.{number}", datum, now) for number, datum in enumerate(given, 1)]
    context.kernel.metrics.put(context.account, context.region, namespace, data)
    return {}


@service.operation("ListMetrics")
def list_metrics(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Metrics that had data in the past two weeks."""
    if request.get("OwningAccount", context.account) != context.account:
        raise context.error("value", "OwningAccount must be this account: no other one is linked to it.")
    wanted = Filter(
        request.get("Namespace"),
        request.get("MetricName"),
        [(pair["Name"], pair.get("Value")) for pair in request.get("Dimensions", ())],
        request.get("RecentlyActive") is not None,
    )
    for text in filter(None, (wanted.namespace, wanted.name)):
        checked_text(context, "Namespace or MetricName", text)
    after = _after(context, request.get("NextToken"))
    found, behind = context.kernel.metrics.list_metrics(context.account, context.region, wanted, LISTED, after)
    answer: dict[str, Any] = {"Metrics": [_view(series) for series in found]}
    if behind is not None:
        answer["NextToken"] = base64.urlsafe_b64encode(f"{behind:d}".encode()).decode()
    if request.get("IncludeLinkedAccounts"):
        answer["OwningAccounts"] = [context.account] * len(found)
    return answer


def _datum(context: Context, where: str, given: dict[str, Any], now: float) -> Datum:
    timestamp = given["Timestamp"].timestamp() if "Timestamp" in given else now
    if not now - PAST <= timestamp <= now + FUTURE:
        rule = "it must be at most two weeks in the past and two hours in the future."
        raise context.error("value", f"The parameter {where}.Timestamp is out of range: {rule}")
    resolution = given.get("StorageResolution", 60)
    if resolution not in (1, 60):
        raise context.error(
            "value", f"The value {resolution} for parameter {where}.StorageResolution is invalid: 1 or 60."
        )
    return Datum(
        name=checked_text(context, f"{where}.MetricName", given["MetricName"]),
        values=_values(context, where, given),
        timestamp=timestamp,
        dimensions=series_dimensions(context, given.get("Dimensions", ())),
        unit=given.get("Unit", "None"),
        resolution=resolution,
    )


def _values(context: Context, where: str, given: dict[str, Any]) -> StatisticSet:
    kinds = [member for member in ("Value", "Values", "StatisticValues") if member in given]
    if len(kinds) != 1:
        kind = "missing" if not kinds else "combination"
        present = " and ".join(kinds) or "none of them"
        raise context.error(kind, f"{where} needs one of Value, Values and StatisticValues; it has {present}.")
    if "Counts" in given and "Values" not in given:
        raise context.error("combination", f"The parameter {where}.Counts needs {where}.Values.")
    if kinds == ["Value"]:
        _check(context, f"{where}.Value", [given["Value"]])
        return statistics.of([given["Value"]])
    if kinds == ["Values"]:
        return _listed(context, where, given["Values"], given.get("Counts"))
    return _summary(context, f"{where}.StatisticValues", given["StatisticValues"])


def _listed(context: Context, where: str, values: list[float], counts: list[float] | None) -> StatisticSet:
    if not values or len(values) > MAX_VALUES:
        raise context.error(
            "value", f"The collection {where}.Values must have 1 to {MAX_VALUES} members; it has {len(values)}."
        )
    if counts is not None and len(counts) != len(values):
        raise context.error(
            "value", f"{where}.Counts has {len(counts)} members and {where}.Values {len(values)}; they must be as many."
        )
    _check(context, f"{where}.Values", values)
    counts = [1.0] * len(values) if counts is None else counts
    _check(context, f"{where}.Counts", counts, lowest=0.0)
    pairs = [(value, count) for value, count in zip(values, counts, strict=True) if count > 0]
    if not pairs:
        raise context.error("value", f"The parameter {where}.Counts must have a member greater than 0.")
    return statistics.of([value for value, _ in pairs], [count for _, count in pairs])


def _summary(context: Context, where: str, given: dict[str, float]) -> StatisticSet:
    count, total, minimum, maximum = (given[name] for name in ("SampleCount", "Sum", "Minimum", "Maximum"))
    _check(context, where, [count, total, minimum, maximum])
    if count <= 0:
        raise context.error("value", f"The parameter {where}.SampleCount must be greater than 0; it is {count:g}.")
    if minimum > maximum:
        raise context.error("value", f"The parameter {where}.Minimum must be at most {where}.Maximum.")
    return statistics.summary(count, total, minimum, maximum)


def _check(context: Context, where: str, values: Iterable[float], lowest: float = -MAX_VALUE) -> None:
    for value in values:
        if not math.isfinite(value) or not lowest <= value <= MAX_VALUE:
            rule = f"it must be a number from {'0' if lowest == 0 else '-2^360'} to 2^360."
            raise context.error("value", f"The value {value} for parameter {where} is invalid: {rule}")


def _after(context: Context, token: str | None) -> int:
    if token is None:
        return 0
    try:
        after = int(base64.urlsafe_b64decode(token))
    except ValueError:
        after = -1
    if not 0 <= after < 2**62:
        raise context.error("value", "The parameter NextToken is invalid; give the token of the page before.")
    return after


def _view(series: Series) -> dict[str, Any]:
    pairs = [{"Name": name, "Value": value} for name, value in series.dimensions]
    return {"Namespace": series.namespace, "MetricName": series.name, "Dimensions": pairs}
