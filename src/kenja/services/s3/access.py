"""Who may use another's bucket: callers without a signature, and other accounts, as far as access control lists say so.

Bucket policies do not open anything yet. A caller that is let in acts in the owner's world for this one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.objects import BucketInfo, ObjectInfo
from kenja.kernel.objects.errors import ForeignBucket, IsDeleteMarker, NoSuchBucket, NoSuchKey, NoSuchVersion
from kenja.services.s3 import acls

_BUCKET = {  # operation -> permission on the bucket; Amazon S3 User Guide, "Mapping of ACL permissions and access policy permissions"
    "HeadBucket": "READ",
    "ListObjects": "READ",
    "ListObjectsV2": "READ",
    "ListObjectVersions": "READ",
    "ListMultipartUploads": "READ",
    "PutObject": "WRITE",
    "CopyObject": "WRITE",
    "CreateMultipartUpload": "WRITE",
    "UploadPart": "WRITE",
    "UploadPartCopy": "WRITE",
    "CompleteMultipartUpload": "WRITE",
    "AbortMultipartUpload": "WRITE",
    "ListParts": "WRITE",
    "DeleteObject": "WRITE",
    "DeleteObjects": "WRITE",
    "GetBucketAcl": "READ_ACP",
    "PutBucketAcl": "WRITE_ACP",
}
_OBJECT = {
    "GetObject": "READ",
    "HeadObject": "READ",
    "GetObjectAcl": "READ_ACP",
    "PutObjectAcl": "WRITE_ACP",
}
_NOT_NOBODYS = frozenset(
    {
        "CreateMultipartUpload",
        "UploadPart",
        "UploadPartCopy",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
        "ListParts",
    }
)  # S3 User Guide: "anonymous users cannot initiate"


def admitted(context: Context, request: Mapping[str, Any]) -> Context:
    """The call of somebody without a signature, as one in the bucket owner's world. Raises S3's errors and NoSuchBucket."""
    bucket = _bucket(context, request)
    if bucket is None or context.operation in _NOT_NOBODYS or not _granted(context, request, bucket):
        raise _denied(context)
    return _within(context, bucket)


def guest(context: Context, request: Mapping[str, Any]) -> Context | None:
    """The call of another account as one in the bucket owner's world; None when no list grants it."""
    bucket = _bucket(context, request)
    return _within(context, bucket) if bucket is not None and _granted(context, request, bucket) else None


def source(context: Context, bucket: str, key: str, version: str | None) -> ObjectInfo:
    """The object that a copy is made of, if the caller may read it. Raises ForeignBucket and what `head` raises."""
    store = context.kernel.objects
    caller = next(iter(context.principal.arn.split(":")[4:5]), "")  # a guest acts in the world of the copy's owner
    if caller == context.account:
        try:
            return store.head(caller, bucket, key, version)
        except ForeignBucket:
            pass
    owned = store.documents.owned(bucket)
    if owned is None:
        raise NoSuchBucket(bucket)
    asking = replace(context, operation="GetObject", principal=replace(context.principal, account=caller))
    if owned.account != caller and not _granted(asking, {"Key": key, "VersionId": version}, owned):
        raise ForeignBucket(bucket)
    return store.head(owned.account, bucket, key, version)


def _bucket(context: Context, request: Mapping[str, Any]) -> BucketInfo | None:
    name = request.get("Bucket")
    if not name or context.operation == "CreateBucket":
        return None
    bucket = context.kernel.objects.documents.owned(name)
    if bucket is None:
        raise NoSuchBucket(name)
    return bucket


def _granted(context: Context, request: Mapping[str, Any], bucket: BucketInfo) -> bool:
    """Whether the lists of the bucket or of the object let the caller do this."""
    if acls.ownership(bucket) == acls.ENFORCED:
        return False
    if permission := _BUCKET.get(context.operation):
        return _permits(context, bucket, bucket.settings.get(acls.ACL), permission)
    if permission := _OBJECT.get(context.operation):
        info = _object(context, request, bucket)
        if info is not None:
            return _permits(context, bucket, acls.object_grants(bucket.account, info.attributes.acl), permission)
        return _permits(context, bucket, bucket.settings.get(acls.ACL), "READ")  # who may list may know what is missing
    return False


def _permits(context: Context, bucket: BucketInfo, stored: list[acls.Grant] | None, permission: str) -> bool:
    grants = acls.grants_of(bucket.account, stored)
    if (acls.public_block(bucket) or {}).get("IgnorePublicAcls"):
        grants = [grant for grant in grants if not acls.is_public([grant])]
    return acls.permits(grants, context.account, permission)


def _object(context: Context, request: Mapping[str, Any], bucket: BucketInfo) -> ObjectInfo | None:
    try:
        return context.kernel.objects.head(bucket.account, bucket.name, request["Key"], request.get("VersionId"))
    except (NoSuchKey, NoSuchVersion, IsDeleteMarker):
        return None


def _within(context: Context, bucket: BucketInfo) -> Context:
    return replace(context, principal=replace(context.principal, account=bucket.account))


def _denied(context: Context) -> ServiceError:
    return context.error("denied", "Access Denied")
