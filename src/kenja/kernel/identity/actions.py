"""Which IAM action an operation needs, and on which resource: a table of the exceptions to "service:Operation"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kenja.kernel.context import PARTITION

if TYPE_CHECKING:
    from kenja.kernel.context import Context

_PREFIXES = {"monitoring": "cloudwatch"}  # signing name -> prefix of actions, where they differ
_S3 = {  # Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3"
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}
_EXCEPTIONS: Mapping[str, Mapping[str, str]] = {
    "s3": _S3,
    "sagemaker": {"InvokeEndpointWithResponseStream": "InvokeEndpoint"},
}
ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity"})  # no policy can deny it; STS API Reference


def action(signing_name: str, operation: str) -> str:
    """The action that a caller must be allowed: `s3:GetObject` for HeadObject."""
    prefix = _PREFIXES.get(signing_name, signing_name)
    return f"{prefix}:{_EXCEPTIONS.get(prefix, {}).get(operation, operation)}"


def resource(context: Context, request: Mapping[str, Any]) -> str:
    """The ARN that the action is about; "*" where only the issue on identity will say."""
    if context.service.name == "s3":
        bucket, key = request.get("Bucket"), request.get("Key")
        if bucket:
            return f"arn:{PARTITION}:s3:::{bucket}" + (f"/{key}" if key else "")
    if context.service.name == "sts" and (role := request.get("RoleArn")):
        return str(role)
    return "*"
