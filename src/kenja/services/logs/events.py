"""Log events: GetLogEvents reads one stream, FilterLogEvents searches a group."""

from __future__ import annotations

from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.telemetry.log_patterns import PatternError
from kenja.kernel.telemetry.log_search import FOREVER, Search, TokenError
from kenja.kernel.telemetry.logs import MAX_EVENTS
from kenja.services.logs.service import checked_name, named_group, named_stream, service, time_range


@service.operation("GetLogEvents")
def get_log_events(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """A page of one stream; the token of a direction stays the same at the end of it."""
    stream = named_stream(context, named_group(context, request), request["logStreamName"])
    start, end = time_range(context, request, FOREVER)
    try:
        page = context.kernel.logs.read(
            stream, token=request.get("nextToken"), from_head=bool(request.get("startFromHead")), start=start, end=end,
            limit=request.get("limit", MAX_EVENTS),
        )  # fmt: skip
    except TokenError as error:
        raise context.error("validation", "The specified nextToken is invalid.") from error
    events = [{"timestamp": at, "message": message, "ingestionTime": at} for at, message in page.events]
    return {"events": events, "nextForwardToken": page.forward, "nextBackwardToken": page.backward}


@service.operation("FilterLogEvents", level=2)
def filter_log_events(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The matching events of a group's streams, oldest first."""
    group = named_group(context, request)
    names, prefix = request.get("logStreamNames"), request.get("logStreamNamePrefix", "")
    if names and prefix:
        raise context.error(
            "validation", "logStreamNames and logStreamNamePrefix exclude each other; give one of them."
        )
    if request.get("startFromHead") is False:
        raise context.error(
            "validation", "startFromHead=false is not served yet; leave it out and read from the oldest event."
        )
    for name in names or ():
        named_stream(context, group, name)
    start, end = time_range(context, request, FOREVER)
    checked_name(context, "logStreamNamePrefix", prefix)
    search = Search(request.get("filterPattern", ""), names, prefix, start, end)
    try:
        found, token = context.kernel.logs.filter(
            group, search, token=request.get("nextToken"), limit=request.get("limit", MAX_EVENTS)
        )
    except TokenError as error:
        raise context.error("validation", "The specified nextToken is invalid.") from error
    except PatternError as error:
        raise context.error("validation", str(error)) from error
    events = [
        {
            "logStreamName": event.stream, "timestamp": event.timestamp, "message": event.message,
            "ingestionTime": event.timestamp, "eventId": event.id,
        }
        for event in found
    ]  # fmt: skip
    answer: dict[str, Any] = {"events": events, "searchedLogStreams": []}  # empty on AWS too, since June 2019
    if token is not None:
        answer["nextToken"] = token
    return answer
