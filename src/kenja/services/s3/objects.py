"""Objects: put, get, head, delete. Copies, listings and multipart uploads have files of their own."""

from __future__ import annotations

from typing import Any

from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.objects import Condition, ObjectInfo, errors
from kenja.services.s3 import attributes, conditions, digests, ranges
from kenja.services.s3.service import MAX_KEY, error_of, operation
from kenja.wire.message import FileRange

MAX_PUT = 5 * 1024**3  # bytes of one PutObject, part or copy; Amazon S3 quotas
MAX_DELETES = 1000  # keys of one DeleteObjects
SMALL = 64 * 1024  # bytes of a body that is read at once rather than sent from its file
_OVERRIDES = {  # query parameter -> member of the answer
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
    "ResponseExpires": "Expires",
}


@operation("PutObject", level=2)
def put_object(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Stores a body under a key; all of it or nothing."""
    body = request.get("Body", b"")
    described = attributes.requested(context, request)
    condition = conditions.write_condition(context, request)
    expected = digests.expected(context, request, body)
    check_size(context, body)
    store = context.kernel.objects
    with store.receive(body, expected.algorithms) as draft:
        expected.check(context, draft)
        info = store.put(
            context.account,
            request["Bucket"],
            request["Key"],
            draft,
            described,
            checksum=expected.checksum(draft),
            condition=condition,
        )
    return {"ETag": f'"{info.etag}"', **digests.shown(info.checksum)}


@operation("GetObject")
def get_object(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The object, or a range or part of it."""
    info = _readable(context, request)
    span, answer = _described(context, request, info)
    for parameter, member in _OVERRIDES.items():
        if request.get(parameter) is not None:
            answer[member] = request[parameter]
    store = context.kernel.objects
    if span.length <= SMALL:
        answer["Body"] = store.read(info, span.offset, span.length)
    else:
        answer["Body"] = FileRange(store.path(info), span.offset, span.length)
    return answer


@operation("HeadObject")
def head_object(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """What GetObject would say, without the body."""
    info = _readable(context, request)
    _, answer = _described(context, request, info)
    for parameter, member in _OVERRIDES.items():
        if request.get(parameter) is not None:
            answer[member] = request[parameter]
    return answer


@operation("DeleteObject")
def delete_object(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Removes an object; one that is not there is no error."""
    condition = conditions.delete_condition(
        request.get("IfMatch"), request.get("IfMatchSize"), request.get("IfMatchLastModifiedTime")
    )
    context.kernel.objects.delete(context.account, request["Bucket"], request["Key"], condition)
    return {}


@operation("DeleteObjects")
def delete_objects(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Removes up to a thousand objects; what fails is listed by key."""
    wanted = request["Delete"].get("Objects") or []
    if not 1 <= len(wanted) <= MAX_DELETES:
        raise context.error("malformed", f"Delete names {len(wanted)} objects; from 1 to {MAX_DELETES} are allowed.")
    failed: list[dict[str, str]] = []
    accepted: dict[str, Condition | None] = {}
    for item in wanted:
        key = item["Key"]
        if item.get("VersionId") not in (None, "null"):
            failed.append({"Key": key, "Code": "NoSuchVersion", "Message": "The specified version does not exist."})
        elif len(key.encode()) > MAX_KEY:
            failed.append({"Key": key, "Code": "KeyTooLongError", "Message": "Your key is too long"})
        else:
            accepted[key] = conditions.delete_condition(
                item.get("ETag"), item.get("Size"), item.get("LastModifiedTime")
            )
    outcome = context.kernel.objects.delete_many(context.account, request["Bucket"], accepted)
    deleted = []
    for key in accepted:
        refusal = outcome[key]
        if isinstance(refusal, errors.Refusal):
            error = error_of(context, request, refusal)
            failed.append({"Key": key, "Code": error.code, "Message": error.message})
        else:
            deleted.append({"Key": key})
    answer: dict[str, Any] = {} if request["Delete"].get("Quiet") else {"Deleted": deleted}
    return {**answer, "Errors": failed} if failed else answer


def check_size(context: Context, body: object) -> None:
    """Refuse a body that is larger than one request may carry."""
    size = len(body) if isinstance(body, bytes) else getattr(body, "size", 0)
    if size > MAX_PUT:
        raise context.error(
            "too_large",
            "Your proposed upload exceeds the maximum allowed size",
            ProposedSize=size,
            MaxSizeAllowed=MAX_PUT,
        )


def _readable(context: Context, request: dict[str, Any]) -> ObjectInfo:
    info = context.kernel.objects.head(context.account, request["Bucket"], request["Key"])
    conditions.check_read(context, request, info)
    return info


def _described(context: Context, request: dict[str, Any], info: ObjectInfo) -> tuple[ranges.Range, dict[str, Any]]:
    """The range of the object that is asked for, and the members of the answer."""
    number, header = request.get("PartNumber"), request.get("Range")
    if number is not None and header is not None:
        raise context.error("bad_request", "Cannot specify both Range header and partNumber query parameter")
    answer = attributes.shown(info)
    span = ranges.requested(context, header, info.size) if number is None else ranges.part(context, number, info)
    if number is not None and info.part_sizes:
        answer["PartsCount"] = len(info.part_sizes)
    if span is None:  # a client would compare the checksum of the whole with the part that it got
        answer.update(attributes.checksum(info, request))
        span = ranges.Range(0, info.size)
    elif span.length:
        answer["ContentRange"] = span.header(info.size)
    answer["ContentLength"] = span.length
    return span, answer


def modified(info: ObjectInfo) -> dict[str, Any]:
    """Entity tag and date as the answers of copies have them."""
    return {"ETag": f'"{info.etag}"', "LastModified": utc(info.modified)}
