"""Tags of objects: their rules, the x-amz-tagging header, and the three operations. Tags of buckets are not here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from kenja.kernel.context import Context
from kenja.kernel.objects import Attributes, ObjectInfo
from kenja.services.s3.service import operation

MAX_TAGS = 10  # of one object; Amazon S3 User Guide, Categorizing objects using tags
MAX_NAME, MAX_VALUE = 128, 256  # Unicode characters
_ALLOWED = re.compile(r"[\w\s+\-=.:/@]*")  # letters, spaces and numbers of UTF-8, and + - = . _ : / @


@operation("PutObjectTagging")
def put_object_tagging(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Replaces all tags of an object or of one version."""
    pairs = [(tag["Key"], tag["Value"]) for tag in request["Tagging"].get("TagSet") or []]
    return _amended(context, request, checked(context, pairs))


@operation("GetObjectTagging")
def get_object_tagging(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The tags of an object or of one version."""
    info = context.kernel.objects.head(context.account, request["Bucket"], request["Key"], request.get("VersionId"))
    tags = [{"Key": name, "Value": value} for name, value in info.attributes.tags.items()]
    return {"TagSet": tags, **_version(info)}


@operation("DeleteObjectTagging")
def delete_object_tagging(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Removes all tags of an object or of one version."""
    return _amended(context, request, {})


def of_header(context: Context, header: str | None) -> dict[str, str]:
    """The tags in an x-amz-tagging header, which is written like a query string."""
    if not header:
        return {}
    try:
        pairs = parse_qsl(header, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=50)
    except ValueError:
        pairs = []
    if not pairs or len({name for name, _ in pairs}) != len(pairs):
        raise context.error(
            "validation",
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name "
            "duplicates.",
            ArgumentName="x-amz-tagging", ArgumentValue=header,
        )  # fmt: skip
    return checked(context, pairs)


def checked(context: Context, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Tags by name. Raises S3's errors for too many, too long and twice-given ones."""
    tags: dict[str, str] = {}
    for name, value in pairs:
        if name in tags:
            raise context.error("tag", "Cannot provide multiple Tags with the same key", TagKey=name)
        if not 1 <= len(name) <= MAX_NAME or not _ALLOWED.fullmatch(name):
            raise context.error("tag", "The TagKey you have provided is invalid", TagKey=name)
        if len(value) > MAX_VALUE or not _ALLOWED.fullmatch(value):
            raise context.error("tag", "The TagValue you have provided is invalid", TagKey=name, TagValue=value)
        if name.lower().startswith("aws:"):
            raise context.error("tag", "System tags cannot be added/updated by requester", TagKey=name)
        tags[name] = value
    if len(tags) > MAX_TAGS:
        raise context.error("tags", f"Object tags cannot be greater than {MAX_TAGS}")
    return tags


def _amended(context: Context, request: Mapping[str, Any], tags: dict[str, str]) -> dict[str, Any]:
    def change(info: ObjectInfo) -> Attributes:
        return replace(info.attributes, tags=tags)

    store = context.kernel.objects
    info = store.amend(context.account, request["Bucket"], request["Key"], request.get("VersionId"), change)
    return _version(info)


def _version(info: ObjectInfo) -> dict[str, Any]:
    return {"VersionId": info.version} if info.version else {}
