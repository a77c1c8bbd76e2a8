"""Access control lists of buckets and objects: get and put. What a list means is in `acls`, whom it lets in in `access`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from kenja.kernel.context import Context
from kenja.kernel.objects import Attributes, BucketInfo, ObjectInfo
from kenja.services.s3 import acls
from kenja.services.s3 import subresource_checks as checks
from kenja.services.s3.service import operation, owner


@operation("GetBucketAcl")
def get_bucket_acl(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The owner and the grants of a bucket."""
    bucket = context.kernel.objects.bucket(context.account, request["Bucket"])
    return {"Owner": owner(bucket.account), "Grants": acls.grants_of(bucket.account, bucket.settings.get(acls.ACL))}


@operation("PutBucketAcl")
def put_bucket_acl(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Replaces the grants of a bucket."""
    store = context.kernel.objects
    bucket = store.bucket(context.account, request["Bucket"])
    grants = _requested(context, request, bucket)
    store.configure(
        context.account, bucket.name, lambda info: replace(info, settings={**info.settings, acls.ACL: grants})
    )
    return {}


@operation("GetObjectAcl")
def get_object_acl(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The owner and the grants of an object or one of its versions."""
    info = context.kernel.objects.head(context.account, request["Bucket"], request["Key"], request.get("VersionId"))
    return {"Owner": owner(context.account), "Grants": acls.object_grants(context.account, info.attributes.acl)}


@operation("PutObjectAcl")
def put_object_acl(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Replaces the grants of an object or one of its versions."""
    store = context.kernel.objects
    bucket = store.bucket(context.account, request["Bucket"])
    text = orjson.dumps(_requested(context, request, bucket)).decode()

    def change(info: ObjectInfo) -> Attributes:
        return replace(info.attributes, acl=text)

    store.amend(context.account, bucket.name, request["Key"], request.get("VersionId"), change)
    return {}


@operation("GetBucketPolicyStatus")
def get_bucket_policy_status(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Whether the bucket's policy is public."""
    document = context.kernel.objects.documents.get(context.account, request["Bucket"], "policy")
    if document is None:
        raise context.error("no_policy", "The bucket policy does not exist", BucketName=request["Bucket"])
    return {"PolicyStatus": {"IsPublic": checks.public(orjson.loads(document["Policy"]))}}


def _requested(context: Context, request: dict[str, Any], bucket: BucketInfo) -> list[acls.Grant]:
    grants = acls.requested(context, request, bucket.account)
    if grants is None:
        raise context.error(
            "missing_header", "Your request was missing a required header", MissingHeaderName="x-amz-acl"
        )
    acls.check_allowed(context, bucket, grants)
    return grants
