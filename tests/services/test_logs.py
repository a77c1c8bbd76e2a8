"""CloudWatch Logs as boto3 sees it; the events are written into segments as jobs write them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kenja.core.clock import Clock
from kenja.kernel.database import sqlite_url
from kenja.kernel.telemetry.logs import Logs
from tests.conftest import REGION, Keys, RunningServer

GROUP = "/aws/sagemaker/TrainingJobs"
NOON = 1_700_000_000_000  # ms
NEVER = "f/" + "9" * 56 + "/s"


@pytest.fixture
def logs(client: Any) -> Any:
    return client("logs")


@pytest.fixture
def store(server: RunningServer, account: Keys) -> Iterator[Logs]:
    """The server's own log store, as the reconciler opens it."""
    telemetry = server.data / "telemetry"
    opened = Logs(telemetry, sqlite_url(telemetry / "logs.db"), Clock())
    for name, first in (("job-a/algo-1", 0), ("job-b/algo-1", 500)):
        events = [(NOON + first + 1000 * n, f"[{n}]#011auc:0.{n} of {name[:5]}") for n in range(25)]
        opened.append(account.account, REGION, GROUP, name, events)
    yield opened
    opened.close()


def refused(call: Any, code: str, **request: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**request)
    assert error.value.response["Error"]["Code"] == code
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return str(error.value.response["Error"]["Message"])


def test_describe_log_groups_pages_and_filters(logs: Any, store: Logs, account: Keys) -> None:
    for name in ("/aws/sagemaker/Endpoints/e", "other"):
        store.open_stream(account.account, REGION, name, "s")
    first = logs.describe_log_groups(limit=2)
    assert [group["logGroupName"] for group in first["logGroups"]] == ["/aws/sagemaker/Endpoints/e", GROUP]
    rest = logs.describe_log_groups(limit=2, nextToken=first["nextToken"])
    assert [group["logGroupName"] for group in rest["logGroups"]] == ["other"]
    assert "nextToken" not in rest
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/T")["logGroups"]
    assert group["arn"] == f"arn:aws:logs:{REGION}:{account.account}:log-group:{GROUP}:*"
    assert group["storedBytes"] > 1000
    assert [g["logGroupName"] for g in logs.describe_log_groups(logGroupNamePattern="Jobs")["logGroups"]] == [GROUP]
    assert logs.describe_log_groups(logGroupNamePrefix="/aws/Sagemaker")["logGroups"] == []


def test_describe_log_groups_refuses_bad_requests(logs: Any, store: Logs) -> None:
    call, code = logs.describe_log_groups, "InvalidParameterException"
    refused(call, code, logGroupNamePrefix="a", logGroupNamePattern="b")
    refused(call, code, nextToken="not one of ours")
    refused(call, code, limit=51)
    refused(call, code, logGroupNamePrefix="a b")


def test_describe_log_streams_orders_pages_and_tells_times(logs: Any, store: Logs) -> None:
    first = logs.describe_log_streams(logGroupName=GROUP, limit=1, orderBy="LastEventTime", descending=True)
    (stream,) = first["logStreams"]
    assert (stream["logStreamName"], stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (
        "job-b/algo-1", NOON + 500, NOON + 24_500,
    )  # fmt: skip
    again = {"orderBy": "LastEventTime", "descending": True, "nextToken": first["nextToken"]}
    rest = logs.describe_log_streams(logGroupName=GROUP, **again)
    assert [stream["logStreamName"] for stream in rest["logStreams"]] == ["job-a/algo-1"]
    found = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="job-a/")["logStreams"]
    assert [stream["logStreamName"] for stream in found] == ["job-a/algo-1"]
    arn = logs.describe_log_groups()["logGroups"][0]["logGroupArn"]
    assert len(logs.describe_log_streams(logGroupIdentifier=arn)["logStreams"]) == 2


def test_describe_log_streams_refuses_bad_requests(logs: Any, store: Logs) -> None:
    call, code = logs.describe_log_streams, "InvalidParameterException"
    message = refused(call, "ResourceNotFoundException", logGroupName="/none")
    assert message == "The specified log group does not exist."
    refused(call, code, logGroupName=GROUP, orderBy="LastEventTime", logStreamNamePrefix="job")
    refused(call, code, logGroupName=GROUP, logGroupIdentifier=GROUP)
    refused(call, code)
    refused(call, code, logGroupName=GROUP, nextToken="AAAA")
    refused(call, code, logGroupName=GROUP, logStreamNamePrefix="a\0b")
    token = logs.describe_log_streams(logGroupName=GROUP, limit=1)["nextToken"]
    refused(call, code, logGroupName=GROUP, nextToken=token, descending=True)
    other = f"arn:aws:logs:{REGION}:999999999999:log-group:{GROUP}"
    refused(call, "ResourceNotFoundException", logGroupIdentifier=other)


def test_get_log_events_follows_a_stream_as_the_sdk_does(logs: Any, store: Logs, account: Keys) -> None:
    stream = {"logGroupName": GROUP, "logStreamName": "job-a/algo-1"}
    page = logs.get_log_events(**stream, startFromHead=True, limit=20)
    messages = [event["message"] for event in page["events"]]
    page = logs.get_log_events(**stream, startFromHead=True, nextToken=page["nextForwardToken"])
    messages += [event["message"] for event in page["events"]]
    assert messages == [f"[{n}]#011auc:0.{n} of job-a" for n in range(25)]
    token = page["nextForwardToken"]
    page = logs.get_log_events(**stream, startFromHead=True, nextToken=token)
    assert (page["events"], page["nextForwardToken"]) == ([], token)
    path = store.open_stream(account.account, REGION, GROUP, "job-a/algo-1")
    with path.open("ab") as file:
        file.write(json.dumps([NOON + 90_000, "new"]).encode() + b"\n[17000")  # and a line that is being written
    page = logs.get_log_events(**stream, startFromHead=True, nextToken=token)
    assert [(event["timestamp"], event["message"]) for event in page["events"]] == [(NOON + 90_000, "new")]


def test_get_log_events_without_a_direction_begins_with_the_newest(logs: Any, store: Logs) -> None:
    stream = {"logGroupName": GROUP, "logStreamName": "job-a/algo-1"}
    page = logs.get_log_events(**stream, limit=3)
    assert [event["timestamp"] for event in page["events"]] == [NOON + 22_000, NOON + 23_000, NOON + 24_000]
    page = logs.get_log_events(**stream, limit=3, nextToken=page["nextBackwardToken"])
    assert [event["timestamp"] for event in page["events"]] == [NOON + 19_000, NOON + 20_000, NOON + 21_000]
    page = logs.get_log_events(**stream, startTime=NOON + 5_000, endTime=NOON + 7_000)
    assert [event["timestamp"] for event in page["events"]] == [NOON + 5_000, NOON + 6_000]


def test_get_log_events_refuses_bad_requests(logs: Any, store: Logs) -> None:
    call, code, missing = logs.get_log_events, "InvalidParameterException", "ResourceNotFoundException"
    stream = {"logGroupName": GROUP, "logStreamName": "job-a/algo-1"}
    assert refused(call, missing, logGroupName="/none", logStreamName="x") == "The specified log group does not exist."
    assert refused(call, missing, logGroupName=GROUP, logStreamName="x") == "The specified log stream does not exist."
    assert "nextToken" in refused(call, code, **stream, nextToken=NEVER)
    refused(call, code, **stream, nextToken="x")
    refused(call, code, **stream, startTime=5, endTime=4)
    refused(call, code, **stream, limit=10_001)
    refused(call, code, logGroupName=GROUP, logStreamName="a:b")
    refused(call, code, logGroupName=GROUP, logStreamName="a\0b")
    refused(call, code, logStreamName="x")
    other = logs.get_log_events(logGroupName=GROUP, logStreamName="job-b/algo-1")["nextForwardToken"]
    refused(call, code, **stream, nextToken=other)


def test_filter_log_events_merges_streams_and_pages(logs: Any, store: Logs) -> None:
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, PaginationConfig={"PageSize": 7})
    events = [event for page in pages for event in page["events"]]
    assert [event["timestamp"] for event in events] == [NOON + 500 * n for n in range(50)]
    assert len({event["eventId"] for event in events}) == 50
    found = logs.filter_log_events(logGroupName=GROUP, filterPattern='"[3]" -"job-b"', logStreamNamePrefix="job")
    assert [event["message"] for event in found["events"]] == ["[3]#011auc:0.3 of job-a"]
    found = logs.filter_log_events(
        logGroupName=GROUP, logStreamNames=["job-b/algo-1"], startTime=NOON + 1_500, endTime=NOON + 2_500
    )
    assert [event["timestamp"] for event in found["events"]] == [NOON + 1_500, NOON + 2_500]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ('{ $.level = "ERR*" && $.took > 2.5 }', ["json"]),
        ("{ $.level = ERROR && $.took > 9 }", []),
        ("[method, path = /in*, status = 4*]", ["fields"]),
        ("[..., status = 4* && status != 404]", []),
        ("%GET.*4[0-9]{2}%", ["fields"]),
        ("?GET ?ERROR", ["json", "fields"]),
    ],
)
def test_filter_log_events_looks_into_json_and_fields(
    logs: Any, store: Logs, account: Keys, pattern: str, found: list[str]
) -> None:
    events = {"json": '{"level": "ERROR", "took": 3}', "fields": "GET /index 404", "text": "[0] nothing"}
    store.append(account.account, REGION, "/events", "s", [(NOON, message) for message in events.values()])
    answer = logs.filter_log_events(logGroupName="/events", filterPattern=pattern)["events"]
    assert [event["message"] for event in answer] == [events[name] for name in found]


def test_filter_log_events_refuses_bad_requests(logs: Any, store: Logs) -> None:
    call, code = logs.filter_log_events, "InvalidParameterException"
    refused(call, "ResourceNotFoundException", logGroupName="/none")
    refused(call, "ResourceNotFoundException", logGroupName=GROUP, logStreamNames=["none"])
    refused(call, code, logGroupName=GROUP, logStreamNames=["job-a/algo-1"], logStreamNamePrefix="job")
    refused(call, code, logGroupName=GROUP, nextToken="WzEsMSwxLFtbMSwiYSJdXV0=")
    refused(call, code, logGroupName=GROUP, startTime=5, endTime=4)
    assert "closing brace" in refused(call, code, logGroupName=GROUP, filterPattern="{ $.a = 1")
    assert "more than one ellipsis" in refused(call, code, logGroupName=GROUP, filterPattern="[..., a, ...]")
    assert "( and ) are not supported" in refused(call, code, logGroupName=GROUP, filterPattern="%(a|b)%")
    refused(call, code, logGroupName=GROUP, filterPattern="x" * 1025)
    assert "'a.b'" in refused(call, code, logGroupName=GROUP, filterPattern="a.b")
    refused(call, code, logGroupName=GROUP, startFromHead=False)


def test_another_account_sees_no_logs(server: RunningServer, store: Logs) -> None:
    assert server.client("logs", server.new_account()).describe_log_groups()["logGroups"] == []


def test_what_is_not_served_says_so(logs: Any) -> None:
    with pytest.raises(ClientError) as error:
        logs.create_log_group(logGroupName="mine")
    assert error.value.response["Error"]["Code"] == "UnsupportedOperationException"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
