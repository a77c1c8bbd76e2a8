"""Log streams: DescribeLogStreams. Their times are read from their segments, so they are never stale."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from kenja.kernel.context import Context
from kenja.kernel.telemetry.logs import Group, Stream
from kenja.services.logs.service import checked_name, named_group, service

PAGE = 50  # streams; DescribeLogStreams: default and maximum of limit


@service.operation("DescribeLogStreams")
def describe_log_streams(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Streams by name or by the time of their last events."""
    group = named_group(context, request)
    by_time = request.get("orderBy") == "LastEventTime"
    prefix = checked_name(context, "logStreamNamePrefix", request.get("logStreamNamePrefix", ""))
    if by_time and prefix:
        raise context.error("validation", "Cannot order by LastEventTime with a logStreamNamePrefix.")
    order, limit = [by_time, bool(request.get("descending"))], request.get("limit", PAGE)
    found = context.kernel.logs.streams(
        group, limit + 1, prefix=prefix, by_time=by_time, descending=order[1],
        after=_after(context, request.get("nextToken"), order),
    )  # fmt: skip
    answer: dict[str, Any] = {"logStreams": [_view(context, group, stream) for stream in found[:limit]]}
    if len(found) > limit:
        answer["nextToken"] = _token(found[limit - 1], order)
    return answer


def _token(stream: Stream, order: list[bool]) -> str:
    last = -1 if stream.last_event is None else stream.last_event
    return base64.urlsafe_b64encode(orjson.dumps([*order, last, stream.name])).decode()


def _after(context: Context, token: str | None, order: list[bool]) -> tuple[int, str] | None:
    if token is None:
        return None
    try:
        *of, last, name = orjson.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError):
        of, last, name = [], 0, ""
    if of != order or type(last) is not int or not isinstance(name, str) or abs(last) >= 2**62 or "\0" in name:
        raise context.error("validation", "The specified nextToken is invalid.")
    return last, name


def _view(context: Context, group: Group, stream: Stream) -> dict[str, Any]:
    view = {
        "logStreamName": stream.name,
        "creationTime": stream.created,
        "arn": context.arn(f"log-group:{group.name}:log-stream:{stream.name}"),
        "storedBytes": 0,  # always, since June 2019; LogStream in the API reference
    }
    if stream.first_event is not None:
        view["firstEventTimestamp"] = stream.first_event
        view["lastEventTimestamp"] = stream.last_event
        view["lastIngestionTime"] = stream.ingested
        view["uploadSequenceToken"] = f"{stream.id:056d}"  # required by no operation any more, still in AWS's answers
    return view
