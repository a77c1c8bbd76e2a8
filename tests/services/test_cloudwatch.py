"""CloudWatch's metrics as boto3 sees them, held against numpy."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from tests.conftest import RunningServer

HOUR = datetime.fromtimestamp(int(time.time()) // 3600 * 3600 - 3600, UTC)  # the last full hour
DIMENSIONS = [{"Name": "Stage", "Value": "test"}, {"Name": "App", "Value": "shop"}]
METRIC = {"Namespace": "Shop", "MetricName": "Latency", "Dimensions": DIMENSIONS}
RANGE = {"StartTime": HOUR, "EndTime": HOUR + timedelta(hours=1)}
NAMED = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]


@pytest.fixture
def cloudwatch(client: Any) -> Any:
    return client("cloudwatch", parameter_validation=False)


@pytest.fixture(scope="module")
def refusing(server: RunningServer) -> Any:
    """A client of one account for all requests that must leave nothing behind."""
    return server.client("cloudwatch", server.new_account(), parameter_validation=False)


def refused(call: Any, code: str, **request: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**request)
    assert error.value.response["Error"]["Code"] == code, error.value
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(error.value.response["Error"]["Message"])


def put(cloudwatch: Any, minute: int, **datum: Any) -> None:
    at = HOUR + timedelta(minutes=minute)
    cloudwatch.put_metric_data(
        Namespace="Shop",
        MetricData=[
            {"MetricName": "Latency", "Dimensions": DIMENSIONS, "Timestamp": at, "Unit": "Milliseconds", **datum}
        ],
    )


def query(name: str = "q", stat: str = "Sum", period: int = 60, **more: Any) -> dict[str, Any]:
    return {"Id": name, "MetricStat": {"Metric": METRIC, "Period": period, "Stat": stat}, **more}


def test_get_metric_statistics_finds_what_numpy_finds(cloudwatch: Any) -> None:
    values = np.random.default_rng(3).lognormal(2, 1, 900)
    for minute in range(6):
        put(cloudwatch, minute, Values=values[minute * 150 : (minute + 1) * 150].tolist())
    request = {**METRIC, **RANGE, "Period": 300}
    points = sorted(
        cloudwatch.get_metric_statistics(**request, Statistics=NAMED)["Datapoints"], key=lambda p: p["Timestamp"]
    )
    assert [point["Timestamp"] for point in points] == [HOUR, HOUR + timedelta(minutes=5)]
    for point, held in zip(points, (values[:750], values[750:]), strict=True):
        truth = [len(held), held.mean(), held.sum(), held.min(), held.max()]
        assert [point[name] for name in NAMED] == pytest.approx(truth)
        assert point["Unit"] == "Milliseconds"
    points = cloudwatch.get_metric_statistics(**request, ExtendedStatistics=["p50", "p99.9"])["Datapoints"]
    for point in points:
        held = values[:750] if point["Timestamp"] == HOUR else values[750:]
        for percent in (50, 99.9):
            exact = np.percentile(held, percent, method="lower")
            assert point["ExtendedStatistics"][f"p{percent:g}"] == pytest.approx(exact, rel=0.0101)


def test_get_metric_statistics_knows_units_and_the_order_of_dimensions_does_not_matter(cloudwatch: Any) -> None:
    put(cloudwatch, 1, Value=4.0)
    request = {**METRIC, **RANGE, "Dimensions": DIMENSIONS[::-1], "Period": 60, "Statistics": ["Sum"]}
    assert [point["Sum"] for point in cloudwatch.get_metric_statistics(**request)["Datapoints"]] == [4.0]
    assert cloudwatch.get_metric_statistics(**request, Unit="Count")["Datapoints"] == []
    assert cloudwatch.get_metric_statistics(**{**request, "Dimensions": DIMENSIONS[:1]})["Datapoints"] == []


def test_get_metric_statistics_refuses_bad_requests(refusing: Any) -> None:
    call, request = refusing.get_metric_statistics, {**METRIC, **RANGE, "Period": 60, "Statistics": ["Sum"]}
    refused(call, "InvalidParameterValue", **{**request, "Period": 61})
    refused(call, "InvalidParameterValue", **{**request, "EndTime": HOUR})
    long = {**request, "StartTime": HOUR - timedelta(days=2)}
    assert "2,940" in refused(call, "InvalidParameterCombination", **long)
    refused(call, "InvalidParameterCombination", **request, ExtendedStatistics=["p9"])
    refused(call, "MissingParameter", **{name: value for name, value in request.items() if name != "Statistics"})
    refused(call, "ValidationError", **{**request, "Statistics": ["Median"]})
    refused(call, "ValidationError", **{**request, "Period": 0})
    refused(call, "ValidationError", Namespace="Shop")
    del request["Statistics"]
    for name in ("p101", "p", "tm90", "Sum"):
        refused(call, "InvalidParameterValue", **request, ExtendedStatistics=[name])


def test_put_metric_data_counts_weigh_and_summaries_add_up(cloudwatch: Any) -> None:
    put(cloudwatch, 0, Values=[1.0, 10.0], Counts=[9.0, 1.0])
    put(cloudwatch, 0, StatisticValues={"SampleCount": 2, "Sum": 7, "Minimum": 0.5, "Maximum": 6.5})
    (point,) = cloudwatch.get_metric_statistics(**METRIC, **RANGE, Period=3600, Statistics=NAMED)["Datapoints"]
    assert [point[name] for name in NAMED] == [12, pytest.approx(26 / 12), 26, 0.5, 10]
    request = {**METRIC, **RANGE, "Period": 3600, "ExtendedStatistics": ["p50"]}
    assert cloudwatch.get_metric_statistics(**request)["Datapoints"] == []  # a summary hides its values


@pytest.mark.parametrize(
    ("datum", "code"),
    [
        ({"Value": float("nan")}, "InvalidParameterValue"),
        ({"Value": float("inf")}, "InvalidParameterValue"),
        ({"Value": 2.0**361}, "InvalidParameterValue"),
        ({}, "MissingParameter"),
        ({"Value": 1.0, "Values": [1.0]}, "InvalidParameterCombination"),
        ({"Value": 1.0, "Counts": [1.0]}, "InvalidParameterCombination"),
        ({"Values": [1.0], "Counts": [1.0, 2.0]}, "InvalidParameterValue"),
        ({"Values": [1.0], "Counts": [-1.0]}, "InvalidParameterValue"),
        ({"Values": [1.0], "Counts": [0.0]}, "InvalidParameterValue"),
        ({"Values": []}, "InvalidParameterValue"),
        ({"Values": [float(n) for n in range(151)]}, "InvalidParameterValue"),
        ({"StatisticValues": {"SampleCount": 0, "Sum": 1, "Minimum": 1, "Maximum": 1}}, "InvalidParameterValue"),
        ({"StatisticValues": {"SampleCount": 1, "Sum": 1, "Minimum": 2, "Maximum": 1}}, "InvalidParameterValue"),
        ({"StatisticValues": {"SampleCount": 1, "Sum": 1, "Minimum": 1}}, "ValidationError"),
        ({"Value": 1.0, "Timestamp": datetime.now(UTC) - timedelta(days=15)}, "InvalidParameterValue"),
        ({"Value": 1.0, "Timestamp": datetime.now(UTC) + timedelta(hours=3)}, "InvalidParameterValue"),
        ({"Value": 1.0, "StorageResolution": 5}, "InvalidParameterValue"),
        ({"Value": 1.0, "Unit": "Parsecs"}, "ValidationError"),
        ({"Value": 1.0, "MetricName": "caf\u00e9"}, "InvalidParameterValue"),
        ({"Value": 1.0, "MetricName": ""}, "ValidationError"),
        ({"Value": 1.0, "Dimensions": [{"Name": f"d{n}", "Value": "x"} for n in range(31)]}, "ValidationError"),
        ({"Value": 1.0, "Dimensions": [{"Name": "d", "Value": "x"}] * 2}, "InvalidParameterValue"),
        ({"Value": 1.0, "Dimensions": [{"Name": ":d", "Value": "x"}]}, "InvalidParameterValue"),
        ({"Value": 1.0, "Dimensions": [{"Name": "d", "Value": "a\0b"}]}, "InvalidParameterValue"),
    ],
)
def test_put_metric_data_refuses_bad_data_and_keeps_none_of_the_request(
    refusing: Any, datum: dict[str, Any], code: str
) -> None:
    good = {"MetricName": "Good", "Value": 1.0}
    refused(refusing.put_metric_data, code, Namespace="Shop", MetricData=[good, {"MetricName": "Bad", **datum}])
    assert refusing.list_metrics()["Metrics"] == []


def test_put_metric_data_refuses_bad_requests(refusing: Any) -> None:
    call, data = refusing.put_metric_data, [{"MetricName": "M", "Value": 1.0}]
    refused(call, "InvalidParameterValue", Namespace="AWS/SageMaker", MetricData=data)
    refused(call, "ValidationError", Namespace=":x", MetricData=data)
    refused(call, "InvalidParameterValue", Namespace="   ", MetricData=data)
    refused(call, "MissingParameter", Namespace="Shop", MetricData=[])
    refused(call, "InvalidParameterValue", Namespace="Shop", MetricData=data * 1001)
    refused(call, "ValidationError", MetricData=data)


def test_put_metric_data_takes_a_thousand_metrics_now(cloudwatch: Any) -> None:
    data = [{"MetricName": f"M{n}", "Value": float(n), "StorageResolution": 1} for n in range(1000)]
    cloudwatch.put_metric_data(Namespace="Shop", MetricData=data)
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace="Shop")
    assert sorted(m["MetricName"] for page in pages for m in page["Metrics"]) == sorted(d["MetricName"] for d in data)
    now = datetime.now(UTC)
    second = {"Metric": {"Namespace": "Shop", "MetricName": "M7"}, "Period": 1, "Stat": "Maximum"}
    window = {"StartTime": now - timedelta(minutes=2), "EndTime": now + timedelta(seconds=5)}
    (result,) = cloudwatch.get_metric_data(MetricDataQueries=[{"Id": "s", "MetricStat": second}], **window)[
        "MetricDataResults"
    ]
    assert result["Values"] == [7.0]


def test_get_metric_data_orders_labels_and_pages(cloudwatch: Any) -> None:
    for minute in range(10):
        put(cloudwatch, minute, Values=[float(minute), 1.0])
    queries = [query("a"), query("b", "p100", Label="slowest"), query("hidden", ReturnData=False)]
    whole = cloudwatch.get_metric_data(MetricDataQueries=queries, **RANGE, ScanBy="TimestampAscending")[
        "MetricDataResults"
    ]
    assert [(result["Id"], result["Label"], result["StatusCode"]) for result in whole] == [
        ("a", "Latency", "Complete"), ("b", "slowest", "Complete"),
    ]  # fmt: skip
    assert whole[0]["Timestamps"] == [HOUR + timedelta(minutes=minute) for minute in range(10)]
    assert whole[0]["Values"] == [minute + 1.0 for minute in range(10)]
    assert whole[1]["Values"] == pytest.approx([max(1.0, minute) for minute in range(10)], rel=0.0101)
    collected: dict[str, list[float]] = {"a": [], "b": []}
    request, statuses = {"MetricDataQueries": queries, **RANGE, "MaxDatapoints": 4}, []
    while True:
        page = cloudwatch.get_metric_data(**request)
        assert sum(len(result["Values"]) for result in page["MetricDataResults"]) <= 4
        for result in page["MetricDataResults"]:
            collected[result["Id"]] += result["Values"]
            statuses.append(result["StatusCode"])
        if "NextToken" not in page:
            break
        request["NextToken"] = page["NextToken"]
    assert collected == {"a": whole[0]["Values"][::-1], "b": whole[1]["Values"][::-1]}
    assert statuses[0] == "PartialData"
    assert statuses[-1] == "Complete"


def test_get_metric_data_refuses_bad_requests(refusing: Any) -> None:
    call, code = refusing.get_metric_data, "ValidationError"
    for queries in (
        [],
        [query("A")],
        [query("a"), query("a")],
        [query(period=61)],
        [query(stat="Median")],
        [query(stat="p101")],
        [query(ReturnData=False)],
        [query(AccountId="999999999999")],
        [query(Expression="q + 1")],
        [{"Id": "e", "Expression": "SUM(METRICS())"}],
        [query(f"q{n}") for n in range(501)],
    ):
        refused(call, code, MetricDataQueries=queries, **RANGE)
    assert "metric math comes later" in refused(call, code, MetricDataQueries=[{"Id": "e", "Expression": "1"}], **RANGE)
    refused(call, code, MetricDataQueries=[query()], StartTime=HOUR, EndTime=HOUR)
    refused(call, code, MetricDataQueries=[query()], **RANGE, MaxDatapoints=0)
    refused(call, "InvalidNextToken", MetricDataQueries=[query()], **RANGE, NextToken="AAAA")
    refused(call, code, MetricDataQueries=[{"Id": "q", "MetricStat": {"Metric": METRIC, "Stat": "Sum"}}], **RANGE)


def test_list_metrics_filters_and_knows_recent_ones(cloudwatch: Any, server: RunningServer) -> None:
    old = datetime.now(UTC) - timedelta(hours=5)
    cloudwatch.put_metric_data(Namespace="Old", MetricData=[{"MetricName": "M", "Value": 1.0, "Timestamp": old}])
    cloudwatch.put_metric_data(
        Namespace="Shop", MetricData=[{"MetricName": "Latency", "Dimensions": DIMENSIONS, "Value": 1}]
    )
    assert len(cloudwatch.list_metrics()["Metrics"]) == 2
    (recent,) = cloudwatch.list_metrics(RecentlyActive="PT3H")["Metrics"]
    assert recent == {**METRIC, "Dimensions": sorted(DIMENSIONS, key=lambda pair: pair["Name"])}
    assert cloudwatch.list_metrics(Dimensions=[{"Name": "Stage"}])["Metrics"] == [recent]
    assert cloudwatch.list_metrics(Dimensions=[{"Name": "Stage", "Value": "live"}])["Metrics"] == []
    assert cloudwatch.list_metrics(Namespace="Old", MetricName="Latency")["Metrics"] == []
    assert server.client("cloudwatch", server.new_account()).list_metrics()["Metrics"] == []


def test_list_metrics_refuses_bad_requests(refusing: Any) -> None:
    call, code = refusing.list_metrics, "InvalidParameterValue"
    refused(call, code, NextToken="AAAA")
    refused(call, code, OwningAccount="999999999999")
    refused(call, code, MetricName="a\0b")
    refused(call, "ValidationError", RecentlyActive="PT1H")
    refused(call, "ValidationError", Dimensions=[{"Name": f"d{n}"} for n in range(11)])


def test_what_is_not_served_says_so(refusing: Any) -> None:
    with pytest.raises(ClientError) as error:
        refusing.list_dashboards()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
