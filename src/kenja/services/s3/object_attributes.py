"""GetObjectAttributes: what is known of an object, its checksum and its parts, without its bytes."""

from __future__ import annotations

from typing import Any

from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.objects import ObjectInfo
from kenja.services.s3 import digests, encryption
from kenja.services.s3.listings import MAX_INTEGER, page_size
from kenja.services.s3.service import operation

ATTRIBUTES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})  # S3 API Reference


@operation("GetObjectAttributes")
def get_object_attributes(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The attributes that the request names, as far as the object has them."""
    wanted = set(request["ObjectAttributes"])
    if not wanted or not wanted <= ATTRIBUTES:
        raise context.error(
            "validation",
            f"x-amz-object-attributes must name some of {', '.join(sorted(ATTRIBUTES))}.",
            ArgumentName="x-amz-object-attributes", ArgumentValue=",".join(sorted(wanted)),
        )  # fmt: skip
    info = context.kernel.objects.head(context.account, request["Bucket"], request["Key"], request.get("VersionId"))
    encryption.check_read(context, request, info)
    answer: dict[str, Any] = {"LastModified": utc(info.modified)}
    if info.version:
        answer["VersionId"] = info.version
    if "ETag" in wanted:
        answer["ETag"] = info.etag
    if "Checksum" in wanted and info.checksum is not None:
        answer["Checksum"] = digests.shown(info.checksum)
    if "ObjectParts" in wanted and info.part_sizes:
        answer["ObjectParts"] = _parts(context, request, info)
    if "StorageClass" in wanted:
        answer["StorageClass"] = info.attributes.storage_class
    if "ObjectSize" in wanted:
        answer["ObjectSize"] = info.size
    return answer


def _parts(context: Context, request: dict[str, Any], info: ObjectInfo) -> dict[str, Any]:
    """How many parts there are, and where they have checksums of their own, a page of them."""
    total: dict[str, Any] = {"TotalPartsCount": len(info.part_sizes)}
    if info.checksum is None or not info.part_checksums:
        return total
    limit = page_size(context, request, "MaxParts", "x-amz-max-parts")
    marker = request.get("PartNumberMarker", 0)
    if not 0 <= marker <= MAX_INTEGER:
        raise context.error(
            "validation", f"x-amz-part-number-marker must be from 0 to {MAX_INTEGER}, not {marker}.",
            ArgumentName="x-amz-part-number-marker", ArgumentValue=marker,
        )  # fmt: skip
    member = f"Checksum{info.checksum.algorithm}"
    known = list(zip(info.part_sizes, info.part_checksums, strict=True))
    page = [
        {"PartNumber": number, "Size": size, member: value}
        for number, (size, value) in enumerate(known[marker : marker + limit], marker + 1)
    ]
    return {
        **total,
        "PartNumberMarker": marker,
        "NextPartNumberMarker": page[-1]["PartNumber"] if page else 0,
        "MaxParts": limit,
        "IsTruncated": marker + limit < len(known),
        "Parts": page,
    }
