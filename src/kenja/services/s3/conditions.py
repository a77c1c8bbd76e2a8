"""Conditional requests: which headers let a read or a write go on. Order of precedence: RFC 9110, 13.2.2."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import formatdate
from typing import Any

from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.objects import Condition, ObjectInfo
from kenja.kernel.objects.errors import NoSuchKey, PreconditionFailed
from kenja.wire.headers import one_line


def matches(header: str, etag: str) -> bool:
    """Whether an If-Match or If-None-Match header names an entity tag: `*`, or a list of tags, quoted or not."""
    if header.strip() == "*":
        return True
    return any(tag.strip().removeprefix("W/").strip('"') == etag for tag in header.split(","))


def check_read(context: Context, request: Mapping[str, Any], info: ObjectInfo, *, prefix: str = "") -> None:
    """Let a read go on, or raise PreconditionFailed (412) or "not modified" (304; 412 for the source of a copy).

    `prefix` is "CopySource" when the conditions are on a copy's source.
    """
    if_match = request.get(f"{prefix}IfMatch")
    if_none_match = request.get(f"{prefix}IfNoneMatch")
    unmodified = _seconds(request.get(f"{prefix}IfUnmodifiedSince"))
    modified = _seconds(request.get(f"{prefix}IfModifiedSince"))
    if if_match is not None:
        if not matches(if_match, info.etag):
            raise PreconditionFailed("If-Match")
    elif unmodified is not None and info.modified > unmodified:
        raise PreconditionFailed("If-Unmodified-Since")
    if if_none_match is not None:
        same = matches(if_none_match, info.etag)
    else:  # a date in the future says nothing
        same = modified is not None and info.modified <= modified <= context.kernel.clock.virtual()
    if same and prefix:
        raise PreconditionFailed("If-None-Match" if if_none_match is not None else "If-Modified-Since")
    if same:
        raise _not_modified(context, info)


def _not_modified(context: Context, info: ObjectInfo) -> ServiceError:
    """With the headers that a cache needs to renew what it has (RFC 9110, 15.4.5)."""
    error = context.error("not_modified", "Not Modified")
    headers = {"etag": f'"{info.etag}"', "last-modified": formatdate(info.modified, usegmt=True)}
    if info.version:
        headers["x-amz-version-id"] = info.version
    for name, header in (("CacheControl", "cache-control"), ("Expires", "expires")):
        if name in info.attributes.headers:
            text = info.attributes.headers[name]
            headers[header] = formatdate(float(text), usegmt=True) if name == "Expires" else one_line(text)
    error.headers = headers
    return error


def write_condition(context: Context, request: Mapping[str, Any]) -> Condition | None:
    """What the present object must be like for a write, from If-Match and If-None-Match; None without them."""
    if_match, if_none_match = request.get("IfMatch"), request.get("IfNoneMatch")
    if if_match is None and if_none_match is None:
        return None
    if if_none_match is not None and (if_none_match.strip() != "*" or if_match is not None):
        raise context.error(
            "unsupported", "A write takes If-Match with an entity tag, or If-None-Match: *, but not both together."
        )

    def condition(present: ObjectInfo | None) -> None:
        if if_none_match is not None and present is not None:
            raise PreconditionFailed("If-None-Match")
        if if_match is not None and present is None:
            raise NoSuchKey(request["Key"])
        if if_match is not None and present is not None and not matches(if_match, present.etag):
            raise PreconditionFailed("If-Match")

    return condition


def delete_condition(etag: str | None, size: int | None, modified: datetime | None) -> Condition | None:
    """What an object must be like to be deleted; one that is gone already passes, except for If-Match: *."""
    if etag is None and size is None and modified is None:
        return None
    seconds = _seconds(modified)

    def condition(present: ObjectInfo | None) -> None:
        if present is None:
            if etag is not None and etag.strip() == "*":
                raise PreconditionFailed("If-Match")
            return
        if etag is not None and not matches(etag, present.etag):
            raise PreconditionFailed("If-Match")
        if size is not None and size != present.size:
            raise PreconditionFailed("x-amz-if-match-size")
        if seconds is not None and seconds != present.modified:
            raise PreconditionFailed("x-amz-if-match-last-modified-time")

    return condition


def _seconds(value: datetime | None) -> float | None:
    return None if value is None else value.timestamp()
