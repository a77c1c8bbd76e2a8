"""Buckets: create, delete, head, list, locate. Their configurations (policy, CORS …) are in `subresources`."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from dataclasses import replace
from typing import Any

from kenja.core.clock import utc
from kenja.kernel.context import PARTITION, Context
from kenja.kernel.objects import ENABLED, BucketInfo, errors
from kenja.services.s3 import acls
from kenja.services.s3 import subresource_checks as checks
from kenja.services.s3.service import operation, owner

HOME = "us-east-1"  # the region that has no location constraint
MAX_PAGE = 10_000  # MaxBuckets; S3 API Reference, ListBuckets
MAX_BUCKETS = 10_000  # of an account; Amazon S3 quotas
_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")  # Amazon S3 User Guide, General purpose bucket naming rules
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def valid_name(name: str) -> bool:
    """Whether a general purpose bucket may have this name."""
    if not _NAME.fullmatch(name) or any(not label[-1:].isalnum() for label in name.split(".")):
        return False
    if name.startswith(_RESERVED_STARTS) or name.endswith(_RESERVED_ENDS):
        return False
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return True
    return False


@operation("CreateBucket", level=2)
def create_bucket(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """A new bucket; in us-east-1, making one's own bucket again succeeds (S3 API Reference, CreateBucket)."""
    name = request["Bucket"]
    if not valid_name(name):
        raise context.error("bucket_name", "The specified bucket is not valid.", BucketName=name)
    configuration = request.get("CreateBucketConfiguration") or {}
    region = _region(context, configuration)
    bucket = BucketInfo(name, context.account, region, 0.0)
    settings = _settings(context, request, bucket)
    tags = checks.tagging(context, bucket, {"TagSet": configuration.get("Tags") or []})
    store = context.kernel.objects
    try:
        with store.changing():
            store.create_bucket(context.account, region, name, settings=settings, most=MAX_BUCKETS)
            if request.get("ObjectLockEnabledForBucket"):  # which can not do without versions
                store.configure(context.account, name, lambda info: replace(info, versioning=ENABLED))
            if tags["TagSet"]:
                store.documents.put(context.account, name, "tagging", tags)
    except errors.BucketExists as found:
        if not found.mine or context.region != HOME or region != HOME:
            raise
        if context.kernel.objects.bucket(context.account, name).region != HOME:
            raise
    return {"Location": f"/{name}", "BucketArn": _arn(name)}


@operation("DeleteBucket")
def delete_bucket(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Removes an empty bucket."""
    context.kernel.objects.delete_bucket(context.account, request["Bucket"])
    return {}


@operation("HeadBucket")
def head_bucket(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Whether the bucket exists and where."""
    info = context.kernel.objects.bucket(context.account, request["Bucket"])
    return {"BucketArn": _arn(info.name), "BucketRegion": info.region, "AccessPointAlias": False}


@operation("GetBucketLocation")
def get_bucket_location(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The location constraint, which us-east-1 does not have."""
    info = context.kernel.objects.bucket(context.account, request["Bucket"])
    return {} if info.region == HOME else {"LocationConstraint": info.region}


@operation("ListBuckets")
def list_buckets(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The account's buckets of every region, by name."""
    most = request.get("MaxBuckets", MAX_PAGE)
    if not 1 <= most <= MAX_PAGE:
        raise context.error("validation", f"max-buckets must be from 1 to {MAX_PAGE}, not {most}.")
    prefix = request.get("Prefix", "").partition("\0")[0]  # no name has one, and PostgreSQL takes none
    found = context.kernel.objects.buckets(
        context.account,
        after=_unpacked(context, request.get("ContinuationToken")),
        prefix=prefix,
        region=request.get("BucketRegion"),
        limit=most + 1,
    )
    answer: dict[str, Any] = {
        "Buckets": [
            {
                "Name": info.name,
                "CreationDate": utc(info.created),
                "BucketRegion": info.region,
                "BucketArn": _arn(info.name),
            }
            for info in found[:most]
        ],
        "Owner": owner(context.account),
    }
    if prefix:
        answer["Prefix"] = prefix
    if len(found) > most:
        answer["ContinuationToken"] = base64.urlsafe_b64encode(found[most - 1].name.encode()).decode()
    return answer


def _region(context: Context, configuration: dict[str, Any]) -> str:
    """The region that a new bucket is for; an endpoint other than us-east-1's makes buckets of its own region only."""
    if any(configuration.get(member) for member in ("Location", "Bucket")):
        raise context.error("unsupported", "Directory buckets are not served; leave Location and Bucket out.")
    wanted: str | None = configuration.get("LocationConstraint")
    if context.region == HOME:
        return "eu-west-1" if wanted == "EU" else wanted or HOME
    if wanted in (context.region, "EU" if context.region == "eu-west-1" else context.region):
        return context.region
    raise context.error(
        "location",
        f"The {wanted or 'unspecified'} location constraint is incompatible for the region specific endpoint "
        f"this request was sent to. Send LocationConstraint {context.region}.",
    )


def _settings(context: Context, request: dict[str, Any], bucket: BucketInfo) -> dict[str, Any]:
    """Ownership, access control list and public access of a new bucket, as the request or this server has them."""
    settings: dict[str, Any] = {}
    if context.kernel.config.object_ownership != acls.ENFORCED:  # as AWS made buckets before April 2023
        settings = {acls.OWNERSHIP: context.kernel.config.object_ownership, acls.PUBLIC_ACCESS: None}
    if request.get("ObjectLockEnabledForBucket"):
        settings["object_lock"] = {"ObjectLockEnabled": "Enabled"}
    if ownership := request.get("ObjectOwnership"):
        settings[acls.OWNERSHIP] = ownership
    grants = acls.requested(context, request, context.account) if acls.asked(request) else None
    if grants is not None:
        bucket = replace(bucket, settings=settings)
        if acls.ownership(bucket) == acls.ENFORCED:
            message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
            raise context.error("acl_with_ownership", message)
        acls.check_allowed(context, bucket, grants)
        settings[acls.ACL] = grants
    return settings


def _arn(name: str) -> str:
    return f"arn:{PARTITION}:s3:::{name}"


def _unpacked(context: Context, token: str | None) -> str:
    if token is None:
        return ""
    try:
        name = base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, ValueError):
        name = ""
    if not valid_name(name):
        raise context.error("validation", "The continuation token provided is incorrect")
    return name
