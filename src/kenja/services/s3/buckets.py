"""Buckets: create, delete, head, list, locate. Their configurations (policy, versioning …) are not here."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Any

from kenja.core.clock import utc
from kenja.kernel.context import PARTITION, Context
from kenja.kernel.objects import errors
from kenja.services.s3.service import operation, owner

HOME = "us-east-1"  # the region that has no location constraint
MAX_PAGE = 10_000  # MaxBuckets; S3 API Reference, ListBuckets
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
    region = _region(context, request.get("CreateBucketConfiguration") or {})
    try:
        context.kernel.objects.create_bucket(context.account, region, name)
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
    if configuration.get("Tags"):
        raise context.error("unsupported", "Bucket tags are not served yet; leave the tags out.")
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
