"""Objects of S3 as files of a job: which keys belong to a channel, and under which names the job sees them."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kenja.core.errors import JobFailed, ServiceError
from kenja.kernel.context import Context

MAX_NAME = 255  # bytes of one path component, as Linux file systems have it


def split(uri: str) -> tuple[str, str] | None:
    """(bucket, key or prefix) of an s3:// address; None when it is not one."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return (bucket, key) if uri.startswith("s3://") and bucket else None


@dataclass(frozen=True)
class Item:
    """One object of a channel. `name`: the file that the job sees."""

    bucket: str
    key: str
    name: str


def stage(context: Context, uri: str, folder: Path, what: str) -> int:
    """Link every object under a prefix into `folder`; the number of files. Raises JobFailed in AWS's words."""
    items = under(context, uri, what)
    link(context, items, folder, f"{what} {uri}")
    return len(items)


def under(context: Context, uri: str, what: str, *, some: bool = True) -> list[Item]:
    """The objects under a prefix, in the order of their keys. Raises JobFailed, where `some` are needed also for none."""
    address = split(uri)
    assert address is not None, uri
    bucket, prefix = address
    with _download(f"{what} {uri}"):
        named = ((item["Key"], _local(item["Key"], prefix)) for item in _listed(context, bucket, prefix))
        items = [Item(bucket, key, name) for key, name in named if name is not None]
    if some and not items:
        raise JobFailed(f"ClientError: Data download failed: {what}: no S3 objects were found under {uri}.")
    return items


def listed_in(context: Context, uri: str, draft: Path, what: str) -> list[Item]:
    """The objects that a manifest names: [{"prefix": "s3://…"}, "suffix", …]; `draft` is its copy. Raises JobFailed."""
    fetch(context, uri, draft, what)
    where = f"ClientError: Data download failed: {what}: the manifest {uri}"
    try:
        entries = json.loads(draft.read_bytes())
    except ValueError as error:
        raise JobFailed(f"{where} is not JSON: {error}") from error
    if not isinstance(entries, list) or not entries or not isinstance(entries[0], dict):
        raise JobFailed(f'{where} must be a list that begins with {{"prefix": "s3://bucket/…"}}.')
    prefix, *names = entries
    address = split(str(prefix.get("prefix")))
    if address is None or set(prefix) != {"prefix"}:
        raise JobFailed(f"{where} begins with {json.dumps(prefix)[:100]}; it must be the prefix, an s3:// address.")
    if not names:
        raise JobFailed(f"{where} names no objects.")
    items = []
    for number, name in enumerate(names, start=1):
        if not isinstance(name, str) or not name:
            raise JobFailed(
                f"{where}: entry {number} is {json.dumps(name)[:100]}; it must be what follows the prefix in a key."
            )
        items.append(Item(address[0], address[1] + name, _checked(name.lstrip("/"), address[1] + name)))
    return items


def link(context: Context, items: Iterable[Item], folder: Path, what: str, *, own_bytes: bool = False) -> None:
    """Give the objects their names in `folder`, as copies where the job may write to them. Raises JobFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    with _download(what):
        for item in items:
            _link(context, item, folder / item.name, own_bytes=own_bytes)


@contextmanager
def _download(what: str) -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        raise JobFailed(f"ClientError: Data download failed: {what}: {error.code}: {error.message}") from error
    except OSError as error:
        raise JobFailed(f"ClientError: Data download failed: {what}: {error.strerror}: {error.filename}") from error


def fetch(context: Context, uri: str, path: Path, what: str) -> None:
    """Link one object to `path`. Raises JobFailed."""
    address = split(uri)
    if address is None or not address[1]:
        raise JobFailed(f"ClientError: {what} is {uri!r}; it must be s3://bucket/key.")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _link(context, Item(*address, path.name), path)
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


def _link(context: Context, item: Item, path: Path, *, own_bytes: bool = False) -> None:
    try:
        context.call("s3", "HeadObject", Bucket=item.bucket, Key=item.key)  # authorises the read as the role
    except ServiceError as error:
        raise ServiceError(error.code, f"s3://{item.bucket}/{item.key}: {error.message}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    context.kernel.objects.link(context.account, item.bucket, item.key, path, own_bytes=own_bytes)


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
    return _checked(name, key)


def _checked(name: str, key: str) -> str:
    """The name, if it can be a file's below a folder. Raises JobFailed."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part or len(part.encode()) > MAX_NAME for part in parts):
        raise JobFailed(
            f"ClientError: Data download failed: the key {key!r} can not be a file name; rename the object."
        )
    return name
