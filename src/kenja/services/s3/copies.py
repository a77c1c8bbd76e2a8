"""Copies of objects and of their ranges, made from blobs without moving bytes through a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.objects import Checksum, ObjectInfo, checksums, errors
from kenja.services.s3 import access, attributes, conditions, digests, encryption, ranges
from kenja.services.s3.multipart import check_part_number, part_algorithms
from kenja.services.s3.notifications import announcer
from kenja.services.s3.objects import MAX_PUT, modified, written
from kenja.services.s3.service import check_key, check_version, operation

_CHANGES = (  # what lets an object be copied onto itself
    "StorageClass", "WebsiteRedirectLocation", "ChecksumAlgorithm", "ServerSideEncryption", "SSECustomerAlgorithm",
)  # fmt: skip


@operation("CopyObject", level=2)
def copy_object(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """A new object with the bytes of another; its metadata too, unless the request replaces it."""
    source = _source(context, request)
    replaces = request.get("MetadataDirective") == "REPLACE"
    same = (source.bucket, source.key) == (request["Bucket"], request["Key"]) and "?versionId=" not in request[
        "CopySource"
    ]
    if same and not replaces and not any(request.get(member) for member in _CHANGES):
        raise context.error(
            "bad_request",
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
        )
    if source.size > MAX_PUT:
        raise context.error(
            "bad_request",
            f"The specified copy source is larger than the maximum allowable size for a copy source: {MAX_PUT}",
        )
    store = context.kernel.objects
    bucket = store.bucket(context.account, request["Bucket"])
    described = attributes.requested(context, request, bucket)
    if not replaces:
        headers = {name: text for name, text in source.attributes.headers.items() if name != "WebsiteRedirectLocation"}
        redirect = {name: text for name, text in described.headers.items() if name == "WebsiteRedirectLocation"}
        described = replace(described, headers={**headers, **redirect}, metadata=source.attributes.metadata)
    if request.get("TaggingDirective") != "REPLACE":
        described = replace(described, tags=source.attributes.tags)
    kept = source.checksum.algorithm if source.checksum else digests.default_algorithm()
    algorithm = request.get("ChecksumAlgorithm") or kept
    digests.supported(context, algorithm)
    condition = conditions.write_condition(context, request)
    known = source.checksum if source.checksum and _is_whole(source.checksum, algorithm) else None
    with store.copy(source, [algorithm] if algorithm and known is None else []) as draft:
        checksum = known
        if algorithm and checksum is None:
            checksum = Checksum(algorithm, checksums.FULL_OBJECT, checksums.encoded(draft.digests, algorithm))
        info = store.put(
            context.account,
            request["Bucket"],
            request["Key"],
            draft,
            described,
            checksum=checksum,
            condition=condition,
            announce=announcer(context),
        )
    result = {**modified(info), **digests.shown(info.checksum)}
    return {"CopyObjectResult": result, **written(info), **_source_version(source)}


@operation("UploadPartCopy")
def upload_part_copy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """A part of a multipart upload from a range of an object."""
    check_part_number(context, request["PartNumber"])
    store = context.kernel.objects
    upload = store.uploads.find(context.account, request["Bucket"], request["Key"], request["UploadId"])
    encryption.check_key(context, request, upload.attributes.encryption, part=True)
    source = _source(context, request)
    span = ranges.copied(context, request.get("CopySourceRange"), source.size)
    if span.length > MAX_PUT:
        raise context.error("bad_request", f"A copied part may have at most {MAX_PUT} bytes, not {span.length}.")
    with store.excerpt(source, span.offset, span.length, part_algorithms(upload)) as draft:
        part = store.uploads.put_part(upload, request["PartNumber"], draft)
    result = {"ETag": f'"{part.etag}"', "LastModified": utc(part.modified)}
    if upload.checksum is not None:
        result[f"Checksum{upload.checksum.algorithm}"] = part.checksum
    return {
        "CopyPartResult": result,
        **encryption.shown(upload.attributes.encryption, read=True),
        **_source_version(source),
    }


def _source(context: Context, request: Mapping[str, Any]) -> ObjectInfo:
    """The object that x-amz-copy-source names, if its conditions hold."""
    header = request["CopySource"]
    path, named, version = header.partition("?versionId=")
    try:  # all of it may be encoded, the slash between bucket and key too
        bucket, _, key = unquote(path, errors="strict").removeprefix("/").partition("/")
    except UnicodeDecodeError:
        raise context.error(
            "validation", "Invalid copy source encoding.", ArgumentName="x-amz-copy-source", ArgumentValue=header
        ) from None
    if not bucket or not key or "\0" in bucket or bucket.startswith("arn:"):
        raise context.error(
            "validation", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            ArgumentName="x-amz-copy-source", ArgumentValue=header,
        )  # fmt: skip
    if named:
        check_version(context, version)
    check_key(context, key)
    try:
        info = access.source(context, bucket, key, version or None)
    except errors.IsDeleteMarker as marker:
        if marker.latest:
            raise errors.NoSuchKey(key) from None
        raise context.error(
            "bad_request", "The source of a copy request may not specifically refer to a delete marker by version id."
        ) from None
    encryption.check_read(context, request, info, prefix="CopySource")
    conditions.check_read(context, request, info, prefix="CopySource")
    return info


def _source_version(source: ObjectInfo) -> dict[str, str]:
    return {"CopySourceVersionId": source.version} if source.version else {}


def _is_whole(checksum: Checksum, algorithm: str | None) -> bool:
    return checksum.kind == checksums.FULL_OBJECT and checksum.algorithm == algorithm
