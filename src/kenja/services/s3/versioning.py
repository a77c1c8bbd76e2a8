"""Whether a bucket keeps versions. What that means for its objects is the object store's matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.objects import ENABLED, SUSPENDED, BucketInfo
from kenja.services.s3.service import operation


@operation("PutBucketVersioning")
def put_bucket_versioning(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Begins to keep versions, or suspends it; a bucket never goes back to having none."""
    wanted = request["VersioningConfiguration"]
    status = wanted.get("Status")
    if status not in (ENABLED, SUSPENDED):
        raise context.error(
            "versioning", f"The versioning configuration must name a Status, {ENABLED} or {SUSPENDED}, not {status}."
        )
    if request.get("MFA") or wanted.get("MFADelete") == "Enabled":
        raise context.error("unsupported", "MFA delete is not served; leave MfaDelete out or Disabled.")

    def change(bucket: BucketInfo) -> BucketInfo:
        if status == SUSPENDED and bucket.settings.get("object_lock"):
            raise context.error(
                "bucket_state",
                "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
            )
        return replace(bucket, versioning=status)

    context.kernel.objects.configure(context.account, request["Bucket"], change)
    return {}


@operation("GetBucketVersioning")
def get_bucket_versioning(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The state; empty when versioning was never asked for."""
    bucket = context.kernel.objects.bucket(context.account, request["Bucket"])
    return {"Status": bucket.versioning} if bucket.versioning else {}
