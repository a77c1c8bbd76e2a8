"""The service object that CloudWatch Logs' files register with, and how they find a group and a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.declare import Service
from kenja.kernel.telemetry.logs import Group, Stream

service = Service(str(Path(__file__)))


def named_group(context: Context, request: dict[str, Any]) -> Group:
    """The group that `logGroupName` or `logGroupIdentifier` means; refuses both, neither, and one that is not there."""
    name, identifier = request.get("logGroupName"), request.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        given = "neither was" if name is None else "both were"
        raise context.error("validation", f"Give either logGroupName or logGroupIdentifier; {given} given.")
    group = context.kernel.logs.group(context.account, context.region, name or group_name(context, str(identifier)))
    if group is None:
        raise context.error("not_found", "The specified log group does not exist.")
    return group


def group_name(context: Context, identifier: str) -> str:
    """The name in an identifier, which is a name or an ARN; the ARN of another account or region names nothing here."""
    return identifier.removeprefix(context.arn("log-group:"))


def named_stream(context: Context, group: Group, name: str) -> Stream:
    """A stream of a group; refuses one that is not there."""
    stream = context.kernel.logs.stream(group, checked_name(context, "logStreamName", name))
    if stream is None:
        raise context.error("not_found", "The specified log stream does not exist.")
    return stream


def checked_name(context: Context, member: str, name: str) -> str:
    """A stream's name as PostgreSQL can be asked for it: the model's pattern allows the character NUL."""
    if "\0" in name:
        raise context.error("validation", f"{member} has a NUL character; a stream's name can not have one.")
    return name


def time_range(context: Context, request: dict[str, Any], forever: int) -> tuple[int, int]:
    """startTime and endTime of a request in ms; refuses a range that ends before it begins."""
    start, end = request.get("startTime", 0), request.get("endTime", forever)
    if start > end:
        raise context.error("validation", f"startTime {start} is after endTime {end}; it must not be.")
    return start, min(end, forever)
