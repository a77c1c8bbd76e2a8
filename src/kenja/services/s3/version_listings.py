"""Listings of versions and delete markers. How a page is found in constant time is the object store's matter."""

from __future__ import annotations

from typing import Any

from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.objects import VersionRow
from kenja.services.s3.listings import Encode, checksum_members, encoder, page_size, shared_members
from kenja.services.s3.service import check_version, operation, owner


@operation("ListObjectVersions")
def list_object_versions(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Every version of every key, the newest of a key first; a page may begin within a key."""
    limit = page_size(context, request, "MaxKeys", "max-keys")
    prefix, delimiter = request.get("Prefix") or "", request.get("Delimiter") or ""
    key_marker, version_marker = request.get("KeyMarker") or "", request.get("VersionIdMarker")
    _check_marker(context, key_marker, version_marker)
    page = context.kernel.objects.list_versions(
        context.account,
        request["Bucket"],
        prefix=prefix,
        delimiter=delimiter,
        after=key_marker or None,
        after_version=version_marker or "",
        limit=limit,
    )
    encode = encoder(request)
    answer: dict[str, Any] = {
        "KeyMarker": encode(key_marker.encode()),
        "VersionIdMarker": version_marker or "",
        "Versions": [],
        "DeleteMarkers": [],
        **shared_members(request, encode, page, limit),
    }
    previous = key_marker.encode() if version_marker else None
    for row in page.rows:
        entry = _entry(context, row, encode, latest=row.key != previous)
        answer["DeleteMarkers" if row.marker else "Versions"].append(entry)
        previous = row.key
    if page.truncated and page.last is not None:
        answer["NextKeyMarker"] = encode(page.last)
        if page.rows and page.rows[-1].key == page.last:
            answer["NextVersionIdMarker"] = page.rows[-1].version
    return answer


def _check_marker(context: Context, key_marker: str, version_marker: str | None) -> None:
    if version_marker is None:
        return
    if not key_marker:
        raise context.error(
            "validation", "A version-id marker cannot be specified without a key marker.",
            ArgumentName="version-id-marker", ArgumentValue=version_marker,
        )  # fmt: skip
    if not version_marker:
        raise context.error(
            "validation", "A version-id marker cannot be empty.", ArgumentName="version-id-marker", ArgumentValue=""
        )
    check_version(context, version_marker)


def _entry(context: Context, row: VersionRow, encode: Encode, *, latest: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "Key": encode(row.key),
        "VersionId": row.version,
        "IsLatest": latest,
        "LastModified": utc(row.modified),
        "Owner": owner(context.account),
    }
    if row.marker:
        return entry
    return {
        **entry,
        "ETag": f'"{row.etag}"',
        "Size": row.size,
        "StorageClass": row.storage_class,
        **checksum_members(row.checksum),
    }
