"""Log groups: DescribeLogGroups. Groups come into being when the platform opens a stream in them."""

from __future__ import annotations

import base64
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.telemetry.logs import Group
from kenja.services.logs.service import group_name, service

PAGE = 50  # groups; DescribeLogGroups: default and maximum of limit
_CLASS = "STANDARD"


@service.operation("DescribeLogGroups")
def describe_log_groups(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Groups by name, filtered by prefix, substring, identifiers or class."""
    prefix, part = request.get("logGroupNamePrefix"), request.get("logGroupNamePattern")
    identifiers = request.get("logGroupIdentifiers")
    if prefix and part:
        raise context.error(
            "validation", "logGroupNamePrefix and logGroupNamePattern exclude each other; give one of them."
        )
    if identifiers and (prefix or part):
        raise context.error("validation", "logGroupIdentifiers can not be combined with a name's prefix or pattern.")
    if request.get("logGroupClass", _CLASS) != _CLASS:
        return {"logGroups": []}
    limit = request.get("limit", PAGE)
    found = context.kernel.logs.groups(
        context.account, context.region, limit + 1,
        prefix=prefix or "", part=part or "", after=_after(context, request.get("nextToken")),
        names=None if identifiers is None else [group_name(context, identifier) for identifier in identifiers],
    )  # fmt: skip
    answer: dict[str, Any] = {"logGroups": [_view(context, group, brief=bool(part)) for group in found[:limit]]}
    if len(found) > limit:
        answer["nextToken"] = base64.urlsafe_b64encode(found[limit - 1].name.encode()).decode()
    return answer


def _after(context: Context, token: str | None) -> str | None:
    if token is None:
        return None
    try:
        name = base64.urlsafe_b64decode(token).decode()
    except ValueError:
        name = "\0"
    if "\0" in name:
        raise context.error("validation", "The specified nextToken is invalid.")
    return name


def _view(context: Context, group: Group, *, brief: bool) -> dict[str, Any]:
    arn = context.arn(f"log-group:{group.name}")
    view = {"logGroupName": group.name, "creationTime": group.created, "arn": f"{arn}:*"}
    if brief:  # what a search by pattern answers
        return view
    return {
        **view, "metricFilterCount": 0, "storedBytes": group.stored_bytes, "logGroupClass": _CLASS, "logGroupArn": arn,
        "deletionProtectionEnabled": False,
    }  # fmt: skip
