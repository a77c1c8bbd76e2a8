"""Listings of objects, versions 1 and 2. How a page is found in constant time is the object store's matter."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.objects import Page
from kenja.services.s3.service import operation, owner

MAX_PAGE = 1000  # keys and common prefixes of a page; S3 API Reference, ListObjectsV2
MAX_INTEGER = 2**31 - 1
Encode = Callable[[bytes], str]


@operation("ListObjects")
def list_objects(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Version 1: pages are continued from a marker, which is a key or common prefix."""
    marker = request.get("Marker") or ""
    delimiter = request.get("Delimiter") or ""
    answer, page = _listing(context, request, marker or None, owners=True)
    answer["Marker"] = encoder(request)(marker.encode())
    if page.truncated and delimiter and page.last is not None:
        answer["NextMarker"] = encoder(request)(page.last)
    return answer


@operation("ListObjectsV2")
def list_objects_v2(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Version 2: pages are continued from an opaque token."""
    token = request.get("ContinuationToken")
    start = request.get("StartAfter") or ""
    after = _unpacked(context, token) if token else start or None
    answer, page = _listing(context, request, after, owners=bool(request.get("FetchOwner")))
    answer["KeyCount"] = len(page.rows) + len(page.prefixes)
    if token is not None:
        answer["ContinuationToken"] = token
    if start:
        answer["StartAfter"] = encoder(request)(start.encode())
    if page.truncated and page.last is not None:
        answer["NextContinuationToken"] = _packed(page.last)
    return answer


def encoder(request: dict[str, Any]) -> Encode:
    """How the listing writes keys: as they are, or percent-encoded when encoding-type=url."""
    return _quoted if request.get("EncodingType") == "url" else bytes.decode


def page_size(context: Context, request: dict[str, Any], member: str, parameter: str) -> int:
    """How many entries a page may have at most; more than a thousand is understood as a thousand."""
    wanted = request.get(member, MAX_PAGE)
    if not 0 <= wanted <= MAX_INTEGER:
        raise context.error(
            "validation", f"Argument {parameter} must be an integer between 0 and {MAX_INTEGER}",
            ArgumentName=parameter, ArgumentValue=wanted,
        )  # fmt: skip
    return int(min(wanted, MAX_PAGE))


def _listing(
    context: Context, request: dict[str, Any], after: str | None, *, owners: bool
) -> tuple[dict[str, Any], Page[Any]]:
    limit = page_size(context, request, "MaxKeys", "max-keys")
    prefix, delimiter = request.get("Prefix") or "", request.get("Delimiter") or ""
    page = context.kernel.objects.list(
        context.account, request["Bucket"], prefix=prefix, delimiter=delimiter, after=after, limit=limit
    )
    encode = encoder(request)
    shared = {"Owner": owner(context.account)} if owners else {}
    common = {text: {**shared, **checksum_members(text)} for text in {row.checksum for row in page.rows}}
    contents = {"Contents": [_entry(row, encode, common[row.checksum]) for row in page.rows]}
    return {**contents, **shared_members(request, encode, page, limit)}, page


def shared_members(request: dict[str, Any], encode: Encode, page: Page[Any], limit: int) -> dict[str, Any]:
    """What every listing of keys answers besides its entries and markers."""
    answer: dict[str, Any] = {
        "Name": request["Bucket"],
        "Prefix": encode((request.get("Prefix") or "").encode()),
        "MaxKeys": limit,
        "IsTruncated": page.truncated,
        "CommonPrefixes": [{"Prefix": encode(found)} for found in page.prefixes],
    }
    if request.get("Delimiter"):
        answer["Delimiter"] = encode(request["Delimiter"].encode())
    if request.get("EncodingType"):
        answer["EncodingType"] = request["EncodingType"]
    return answer


def checksum_members(checksum: str) -> dict[str, Any]:
    """What an entry shows of its checksum, from the column of that name: "CRC32 FULL_OBJECT", or empty."""
    if not checksum:
        return {}
    algorithm, _, kind = checksum.partition(" ")
    return {"ChecksumAlgorithm": [algorithm], "ChecksumType": kind}


def _entry(row: Any, encode: Encode, shared: dict[str, Any]) -> dict[str, Any]:
    key, size, etag, modified, storage_class, _ = row
    return {
        "Key": encode(key),
        "LastModified": utc(modified),
        "ETag": f'"{etag}"',
        "Size": size,
        "StorageClass": storage_class,
        **shared,
    }


def _quoted(key: bytes) -> str:
    return quote(key, safe="/-_.*")


def _packed(key: bytes) -> str:
    """A continuation token: opaque to clients, and no other text is one."""
    return base64.urlsafe_b64encode(zlib.crc32(key).to_bytes(4, "big") + key).decode()


def _unpacked(context: Context, token: str) -> str:
    try:
        data = base64.b64decode(token, altchars=b"-_", validate=True)
        if _packed(data[4:]) != token:
            raise ValueError(token)
        return data[4:].decode()
    except (binascii.Error, ValueError):
        raise context.error(
            "validation", "The continuation token provided is incorrect",
            ArgumentName="continuation-token", ArgumentValue=token,
        ) from None  # fmt: skip
