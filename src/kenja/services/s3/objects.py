"""Objects: put, get, head, delete. Copies, listings and multipart uploads have files of their own."""

from __future__ import annotations

from typing import Any

from kenja.core.clock import utc
from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.objects import ObjectInfo, Removal, Removed, errors
from kenja.services.s3 import attributes, conditions, digests, encryption, locks, ranges
from kenja.services.s3.notifications import announcer
from kenja.services.s3.service import check_key, check_version, error_of, operation
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
    check_length(context)
    store = context.kernel.objects
    bucket = store.bucket(context.account, request["Bucket"])
    described = attributes.requested(context, request, bucket)
    condition = conditions.write_condition(context, request)
    expected = digests.expected(context, request, body, default=digests.default_algorithm())
    check_size(context, body)
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
            announce=announcer(context),
        )
    return {"ETag": f'"{info.etag}"', **digests.shown(info.checksum), **written(info)}


@operation("GetObject")
def get_object(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The object, or a range or part of it."""
    info = _readable(context, request)
    span, answer = _described(context, request, info)
    answer.update(_overrides(context, request))
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
    answer.update(_overrides(context, request))
    return answer


@operation("DeleteObject")
def delete_object(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Removes an object; one that is not there is no error."""
    condition = conditions.delete_condition(
        request.get("IfMatch"), request.get("IfMatchSize"), request.get("IfMatchLastModifiedTime")
    )
    bypass = bool(request.get("BypassGovernanceRetention"))
    condition = locks.deletable(context, request.get("VersionId"), condition, bypass=bypass)
    removal = Removal(request["Key"], request.get("VersionId"), condition)
    removed = context.kernel.objects.delete(context.account, request["Bucket"], removal, announcer(context))
    answer: dict[str, Any] = {"VersionId": removed.version} if removed.version else {}
    return {**answer, "DeleteMarker": True} if removed.marker else answer


@operation("DeleteObjects")
def delete_objects(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Removes up to a thousand objects; what fails is listed by key."""
    wanted = request["Delete"].get("Objects") or []
    if not 1 <= len(wanted) <= MAX_DELETES:
        raise context.error("malformed", f"Delete names {len(wanted)} objects; from 1 to {MAX_DELETES} are allowed.")
    failed: list[dict[str, Any]] = []
    accepted: list[Removal] = []
    for item in wanted:
        try:
            accepted.append(_removal(context, item, bypass=bool(request.get("BypassGovernanceRetention"))))
        except ServiceError as error:
            failed.append(_failed(item["Key"], item.get("VersionId"), error))
    deleted = []
    outcomes = context.kernel.objects.delete_many(context.account, request["Bucket"], accepted, announcer(context))
    for removal, outcome in zip(accepted, outcomes, strict=True):
        if isinstance(outcome, errors.Refusal):
            failed.append(_failed(removal.key, removal.version, error_of(context, request, outcome)))
        else:
            deleted.append(_deleted(removal, outcome))
    answer: dict[str, Any] = {} if request["Delete"].get("Quiet") else {"Deleted": deleted}
    return {**answer, "Errors": failed} if failed else answer


def _removal(context: Context, item: dict[str, Any], *, bypass: bool) -> Removal:
    check_key(context, item["Key"])
    if item.get("VersionId") is not None:
        check_version(context, item["VersionId"])
    condition = conditions.delete_condition(item.get("ETag"), item.get("Size"), item.get("LastModifiedTime"))
    version = item.get("VersionId")
    return Removal(item["Key"], version, locks.deletable(context, version, condition, bypass=bypass))


def _failed(key: str, version: str | None, error: ServiceError) -> dict[str, Any]:
    named = {} if version is None else {"VersionId": version}
    return {"Key": key, **named, "Code": error.code, "Message": error.message}


def _deleted(removal: Removal, outcome: Removed) -> dict[str, Any]:
    named = {} if removal.version is None else {"VersionId": removal.version}
    marker = {"DeleteMarker": True, "DeleteMarkerVersionId": outcome.version} if outcome.marker else {}
    return {"Key": removal.key, **named, **marker}


def written(info: ObjectInfo) -> dict[str, Any]:
    """What every answer to a write tells of the new object besides its tag and checksum."""
    version = {"VersionId": info.version} if info.version else {}
    return {**version, **encryption.shown(info.attributes.encryption)}


def check_length(context: Context) -> None:
    """Refuse a body of which the client did not say how long it is (S3 API Reference, PutObject and UploadPart)."""
    if context.http is None:
        return
    headers = context.http.headers
    if "content-length" in headers or "x-amz-decoded-content-length" in headers:
        return
    if "transfer-encoding" in headers:
        raise context.error(
            "unsupported", "A header you provided implies functionality that is not implemented",
            Header="Transfer-Encoding",
        )  # fmt: skip
    raise context.error("no_length", "You must provide the Content-Length HTTP header.")


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
    info = context.kernel.objects.head(context.account, request["Bucket"], request["Key"], request.get("VersionId"))
    encryption.check_read(context, request, info)
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


def _overrides(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The members of the answer that the request's response-* parameters set."""
    found = {member: request[name] for name, member in _OVERRIDES.items() if request.get(name) is not None}
    for name, value in found.items():
        if isinstance(value, str):
            attributes.check_header(context, name, value)
    return found


def modified(info: ObjectInfo) -> dict[str, Any]:
    """Entity tag and date as the answers of copies have them."""
    return {"ETag": f'"{info.etag}"', "LastModified": utc(info.modified)}
