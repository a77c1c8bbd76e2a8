"""The service object that S3's files register with, and what every handler of S3 has in common. No operations here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.declare import Service
from kenja.kernel.objects import errors
from kenja.services.s3 import protection

service = Service(str(Path(__file__)))

Handler = Callable[[Context, dict[str, Any]], dict[str, Any]]

MAX_KEY = 1024  # bytes of UTF-8; Amazon S3 User Guide, Naming Amazon S3 objects


def operation(name: str, *, level: int = 3) -> Callable[[Handler], Handler]:
    """Register a handler: refusals of the object store become S3's errors, what would protect is refused beforehand."""

    def register(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def guarded(context: Context, request: dict[str, Any]) -> dict[str, Any]:
            _check(context, request)
            try:
                return handler(context, request)
            except errors.Refusal as refusal:
                raise error_of(context, request, refusal) from None

        service.operation(name, level=level)(guarded)
        return handler

    return register


def error_of(context: Context, request: dict[str, Any], refusal: errors.Refusal) -> ServiceError:
    """A refusal of the object store as S3 says it, with the fields that S3's error documents have."""
    kind, fields = _FIELDS[type(refusal)]
    values = {name: getattr(refusal, attribute) for name, attribute in fields.items()}
    if isinstance(refusal, errors.BucketExists) and not refusal.mine:
        kind = "bucket_exists"
    return context.error(kind, str(refusal), **values)


def owner(account: str) -> dict[str, str]:
    """The owner of an account's buckets and objects as S3 shows it; the canonical id is derived from the account."""
    return {"DisplayName": account, "ID": protection.canonical_id(account)}


_FIELDS: dict[type[errors.Refusal], tuple[str, dict[str, str]]] = {  # refusal -> (kind, S3's field -> its attribute)
    errors.NoSuchBucket: ("no_such_bucket", {"BucketName": "bucket"}),
    errors.ForeignBucket: ("denied", {}),
    errors.BucketExists: ("bucket_yours", {"BucketName": "bucket"}),
    errors.BucketNotEmpty: ("bucket_not_empty", {"BucketName": "bucket"}),
    errors.NoSuchKey: ("no_such_key", {"Key": "key"}),
    errors.NoSuchUpload: ("no_such_upload", {"UploadId": "upload"}),
    errors.InvalidPart: ("part", {"UploadId": "upload", "PartNumber": "number", "ETag": "etag"}),
    errors.PartTooSmall: (
        "too_small",
        {"ProposedSize": "size", "MinSizeAllowed": "minimum", "PartNumber": "number", "ETag": "etag"},
    ),
    errors.PreconditionFailed: ("precondition", {"Condition": "condition"}),
}


_TEXTS = ("Bucket", "UploadId", "UploadIdMarker", "BucketRegion", "CopySource")  # members that no NUL belongs into


def _check(context: Context, request: dict[str, Any]) -> None:
    for member in _TEXTS:
        if "\0" in request.get(member, ""):
            raise context.error("validation", f"{member} contains a NUL character.", ArgumentName=member)
    key = request.get("Key")
    if key is not None and len(key.encode()) > MAX_KEY:
        raise context.error("key_too_long", "Your key is too long", Size=len(key.encode()), MaxSizeAllowed=MAX_KEY)
    version = request.get("VersionId")
    if version not in (None, "null"):
        raise context.error("no_such_version", "The specified version does not exist.", Key=key, VersionId=version)
    for member in ("ExpectedBucketOwner", "ExpectedSourceBucketOwner"):
        if request.get(member, context.account) != context.account:
            raise context.error("denied", "Access Denied")
    sentence = protection.refused(request)
    if sentence is not None:
        raise context.error("unsupported", sentence)
