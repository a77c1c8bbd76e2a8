"""Objects of S3 as files of a job: which keys belong to a channel, and under which names the job sees them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kenja.core.errors import JobFailed, ServiceError
from kenja.kernel.context import Context

MAX_NAME = 255  # bytes of one path component, as Linux file systems have it


def split(uri: str) -> tuple[str, str] | None:
    """(bucket, key or prefix) of an s3:// address; None when it is not one."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return (bucket, key) if uri.startswith("s3://") and bucket else None


def stage(context: Context, uri: str, folder: Path, what: str) -> int:
    """Link every object under a prefix into `folder`; the number of files. Raises JobFailed in AWS's words."""
    address = split(uri)
    assert address is not None, uri
    bucket, prefix = address
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        for item in _listed(context, bucket, prefix):
            name = _local(item["Key"], prefix)
            if name is not None:
                _link(context, bucket, item["Key"], folder / name)
                count += 1
    except ServiceError as error:
        raise JobFailed(f"ClientError: Data download failed: {what} {uri}: {error.code}: {error.message}") from error
    except OSError as error:
        raise JobFailed(
            f"ClientError: Data download failed: {what} {uri}: {error.strerror}: {error.filename}"
        ) from error
    if count == 0:
        raise JobFailed(f"ClientError: Data download failed: {what}: no S3 objects were found under {uri}.")
    return count


def fetch(context: Context, uri: str, path: Path, what: str) -> None:
    """Link one object to `path`. Raises JobFailed."""
    address = split(uri)
    if address is None or not address[1]:
        raise JobFailed(f"ClientError: {what} is {uri!r}; it must be s3://bucket/key.")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _link(context, address[0], address[1], path)
    except ServiceError as error:
        raise JobFailed(f"ClientError: {what} {uri}: {error.code}: {error.message}") from error


def _listed(context: Context, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    more: dict[str, str] = {}
    while True:
        page = context.call("s3", "ListObjectsV2", Bucket=bucket, Prefix=prefix, **more)
        yield from page.get("Contents", [])
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _link(context: Context, bucket: str, key: str, path: Path) -> None:
    context.call("s3", "HeadObject", Bucket=bucket, Key=key)  # authorises the read as the role
    path.parent.mkdir(parents=True, exist_ok=True)
    context.kernel.objects.link(context.account, bucket, key, path)


def _local(key: str, prefix: str) -> str | None:
    """The file name of a key in its channel, as SageMaker gives it; None for the marker of an empty folder."""
    if key.endswith("/"):
        return None
    if key == prefix:
        name = posixpath.basename(key)
    elif prefix.endswith("/") or key[len(prefix) :].startswith("/"):
        name = key[len(prefix) :].lstrip("/")
    else:
        name = key[prefix.rfind("/") + 1 :]
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part or len(part.encode()) > MAX_NAME for part in parts):
        raise JobFailed(
            f"ClientError: Data download failed: the key {key!r} can not be a file name; rename the object."
        )
    return name
