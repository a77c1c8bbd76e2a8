"""What a request says of an object besides its bytes: content headers, user metadata, storage class; and back again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.objects import STANDARD, Attributes, BucketInfo, ObjectInfo
from kenja.services.s3 import acls, digests, encryption, header_text, locks, tagging

DEFAULT_TYPE = "binary/octet-stream"
MAX_METADATA = 2048  # bytes of names and values together; Amazon S3 User Guide, Working with object metadata
HEADERS = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "WebsiteRedirectLocation",
)  # fmt: skip
READABLE_CLASSES = frozenset(  # storage classes whose objects can be read without a restore
    {STANDARD, "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"}
)


def requested(context: Context, request: Mapping[str, Any], bucket: BucketInfo) -> Attributes:
    """The attributes of a new object. Raises S3's errors for too much metadata and classes that are not served."""
    headers = {name: request[name] for name in HEADERS if request.get(name)}
    if "ContentEncoding" in headers and (encoding := _encoding(headers.pop("ContentEncoding"))):
        headers["ContentEncoding"] = encoding
    for name, value in headers.items():
        check_header(context, name, value)
    expires = request.get("Expires")
    if isinstance(expires, datetime):
        headers["Expires"] = str(int(expires.timestamp()))
    metadata = {name.lower(): header_text.decoded(value) for name, value in (request.get("Metadata") or {}).items()}
    for name in metadata:
        if not header_text.is_name(name):
            raise context.error(
                "validation", f"x-amz-meta-{name} is no name that a header can have.", ArgumentName=f"x-amz-meta-{name}"
            )
    size = sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())
    if size > MAX_METADATA:
        raise context.error(
            "metadata_too_large", "Your metadata headers exceed the maximum allowed metadata size",
            Size=size, MaxSizeAllowed=MAX_METADATA,
        )  # fmt: skip
    storage_class = request.get("StorageClass", STANDARD)
    if storage_class not in READABLE_CLASSES:
        allowed = ", ".join(sorted(READABLE_CLASSES))
        raise context.error(
            "storage_class", f"The storage class {storage_class} is not served; use one of {allowed}.",
            StorageClassRequested=storage_class,
        )  # fmt: skip
    return Attributes(
        headers,
        metadata,
        storage_class,
        tagging.of_header(context, request.get("Tagging")),
        encryption.requested(context, request, bucket),
        locks.requested(context, request, bucket),
        acls.for_object(context, request),
    )


def check_header(context: Context, name: str, value: str) -> None:
    """Refuse a value that no answer can have as a header: from a form's field or a parameter of the query."""
    if not header_text.fits(value):
        raise context.error(
            "validation", "Header value cannot be represented using ISO-8859-1.", ArgumentName=name, ArgumentValue=value
        )


def shown(info: ObjectInfo) -> dict[str, Any]:
    """The members of GetObject and HeadObject that do not depend on the request."""
    answer: dict[str, Any] = {
        "AcceptRanges": "bytes",
        "ContentType": DEFAULT_TYPE,
        "ETag": f'"{info.etag}"',
        "LastModified": utc(info.modified),
        "Metadata": {name: header_text.encoded(value) for name, value in info.attributes.metadata.items()},
        **info.attributes.headers,
        **encryption.shown(info.attributes.encryption, read=True),
        **locks.shown(info),
    }
    if info.version:
        answer["VersionId"] = info.version
    if info.attributes.tags:
        answer["TagCount"] = len(info.attributes.tags)
    if "Expires" in answer:
        answer["Expires"] = utc(float(answer["Expires"]))
    if info.attributes.storage_class != STANDARD:
        answer["StorageClass"] = info.attributes.storage_class
    return answer


def checksum(info: ObjectInfo, request: Mapping[str, Any]) -> dict[str, str]:
    """The checksum of the whole object, where it was asked for."""
    return digests.shown(info.checksum) if request.get("ChecksumMode") == "ENABLED" else {}


def _encoding(header: str) -> str:
    """Content-Encoding without `aws-chunked`, which is of the transfer and not of the object."""
    codings = (coding.strip() for coding in header.split(","))
    return ",".join(coding for coding in codings if coding.lower() != "aws-chunked")
