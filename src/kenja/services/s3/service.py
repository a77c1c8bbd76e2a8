"""The service object that S3's files register with, and what every handler of S3 has in common. No operations here."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.declare import Service
from kenja.kernel.objects import ID_LENGTH, NULL, errors
from kenja.services.s3 import access, digests, protection

service = Service(str(Path(__file__)))
service.document_error = "malformed"
service.judges_anonymous = True  # by access control lists: see `access`

Handler = Callable[[Context, dict[str, Any]], dict[str, Any]]

_VERSION = re.compile(rf"[A-Za-z0-9._+/=-]{{{ID_LENGTH}}}", re.ASCII)  # AWS's form; theirs and ours are as long
MAX_KEY = 1024  # bytes of UTF-8; Amazon S3 User Guide, Naming Amazon S3 objects


def operation(name: str, *, level: int = 3) -> Callable[[Handler], Handler]:
    """Register a handler: refusals of the object store become S3's errors, what would protect is refused beforehand."""

    def register(handler: Handler) -> Handler:
        service.operation(name, level=level)(guarded(handler))
        return handler

    return register


def guarded(handler: Handler) -> Handler:
    """A handler behind what all of S3's have in common; guests of a bucket come in by its access control list."""

    @functools.wraps(handler)
    def checked(context: Context, request: dict[str, Any]) -> dict[str, Any]:
        _check(context, request)
        digests.check_document(context)
        try:
            if context.principal.anonymous:
                return handler(access.admitted(context, request), request)
            try:
                return handler(context, request)
            except errors.ForeignBucket:
                guest = access.guest(context, request)
                if guest is None:
                    raise
                return handler(guest, request)
        except errors.Refusal as refusal:
            raise error_of(context, request, refusal) from None

    return checked


def error_of(context: Context, request: dict[str, Any], refusal: errors.Refusal) -> ServiceError:
    """A refusal of the object store as S3 says it, with the fields that S3's error documents have."""
    kind, fields = _FIELDS[type(refusal)]
    values = {name: getattr(refusal, attribute) for name, attribute in fields.items()}
    if isinstance(refusal, errors.BucketExists) and not refusal.mine:
        kind = "bucket_exists"
    if isinstance(refusal, errors.IsDeleteMarker):
        return _marker_error(context, refusal)
    return context.error(kind, str(refusal), **values)


def _marker_error(context: Context, refusal: errors.IsDeleteMarker) -> ServiceError:
    """What is deleted is not there; a marker that is asked for by its id can only be deleted (S3 User Guide, Versioning)."""
    headers = {"x-amz-delete-marker": "true", "x-amz-version-id": refusal.version}
    if refusal.latest:
        error = context.error("no_such_key", str(refusal), Key=refusal.key)
    else:
        method = context.http.method if context.http is not None else context.operation
        error = context.error("method", str(refusal), Method=method, ResourceType="DeleteMarker")
        headers |= {"allow": "DELETE", "last-modified": formatdate(refusal.modified, usegmt=True)}
    error.headers = headers
    return error


def check_key(context: Context, key: str) -> None:
    """Refuse a key that no object may have."""
    size = len(key.encode())
    if size > MAX_KEY:
        raise context.error("key_too_long", "Your key is too long", Size=size, MaxSizeAllowed=MAX_KEY)


def check_version(context: Context, version: str) -> None:
    """Refuse what can not be the id of a version."""
    if version != NULL and not _VERSION.fullmatch(version):
        raise context.error(
            "validation", "Invalid version id specified" if version else "Version id cannot be the empty string",
            ArgumentName="versionId", ArgumentValue=version,
        )  # fmt: skip


def owner(account: str) -> dict[str, str]:
    """The owner of an account's buckets and objects as S3 shows it; the canonical id is derived from the account."""
    return {"DisplayName": account, "ID": protection.canonical_id(account)}


_FIELDS: dict[type[errors.Refusal], tuple[str, dict[str, str]]] = {  # refusal -> (kind, S3's field -> its attribute)
    errors.NoSuchBucket: ("no_such_bucket", {"BucketName": "bucket"}),
    errors.ForeignBucket: ("denied", {}),
    errors.BucketExists: ("bucket_yours", {"BucketName": "bucket"}),
    errors.TooManyBuckets: ("too_many_buckets", {}),
    errors.TooManyDocuments: ("too_many_configurations", {}),
    errors.BucketNotEmpty: ("bucket_not_empty", {"BucketName": "bucket"}),
    errors.NoSuchKey: ("no_such_key", {"Key": "key"}),
    errors.NoSuchVersion: ("no_such_version", {"Key": "key", "VersionId": "version"}),
    errors.IsDeleteMarker: ("no_such_key", {"Key": "key"}),
    errors.Locked: ("denied", {}),
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
    if "Key" in request:
        check_key(context, request["Key"])
    if "VersionId" in request:
        check_version(context, request["VersionId"])
    for member in ("ExpectedBucketOwner", "ExpectedSourceBucketOwner"):
        if request.get(member, context.account) != context.account:
            raise context.error("denied", "Access Denied")
    sentence = protection.refused(request)
    if sentence is not None:
        raise context.error("unsupported", sentence)
