"""What becomes of the earlier versions of a key when it is written or deleted. Runs inside the store's transactions.

The newest version of a key is a row of OBJECT unless it is a delete marker; all others are rows of VERSION. So a
listing of objects never passes a version, and a listing of versions merges two ranges. Both tables are ordered by key
and rank, the newest first. Callers hold the lock of the key.
"""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, false, insert, literal, select, tuple_, update

from kenja.core import ids
from kenja.core.clock import Clock
from kenja.kernel.objects import rows
from kenja.kernel.objects.errors import IsDeleteMarker, NoSuchKey, NoSuchVersion
from kenja.kernel.objects.records import (
    ENABLED,
    NULL,
    STANDARD,
    SUSPENDED,
    Announce,
    BucketInfo,
    Change,
    ObjectInfo,
    Removal,
    Removed,
)
from kenja.kernel.objects.rows import Found
from kenja.kernel.objects.tables import OBJECT, VERSION
from kenja.kernel.statements import Statement

ID_LENGTH = 32  # characters, as many as AWS's
_RANK_LENGTH = 13  # characters that hold eight bytes in base 32
_OF_OBJECT = (OBJECT.c.bucket == bindparam("of_bucket"), OBJECT.c.key == bindparam("of_key"))
_OF_VERSIONS = (VERSION.c.bucket == bindparam("of_bucket"), VERSION.c.key == bindparam("of_key"))
_COLUMNS = ("bucket", "key", *rows.STATE)
_ARCHIVE = Statement(
    insert(VERSION).from_select(
        [*_COLUMNS, "marker"], select(*(OBJECT.c[name] for name in _COLUMNS), false()).where(*_OF_OBJECT)
    )
)
_PROMOTE = Statement(
    insert(OBJECT).from_select(
        list(_COLUMNS),
        select(*(VERSION.c[name] for name in _COLUMNS)).where(*_OF_VERSIONS, VERSION.c.rank == bindparam("of_rank")),
    )
)
_DELETE = Statement(delete(OBJECT).where(*_OF_OBJECT))
_DELETE_VERSION = Statement(delete(VERSION).where(*_OF_VERSIONS, VERSION.c.rank == bindparam("of_rank")))
_MARK = Statement(insert(VERSION))
_NEWEST = Statement(select(VERSION).where(*_OF_VERSIONS).order_by(VERSION.c.rank).limit(1))
_BY_ID = Statement(select(VERSION).where(*_OF_VERSIONS, VERSION.c.version == bindparam("of_version")))
_LISTED = ("key", "rank", "size", "etag", "modified", "storage_class", "checksum", "version")


class VersionRow(NamedTuple):
    """A row of a listing of versions."""

    key: bytes
    rank: int
    size: int  # bytes
    etag: str
    modified: float
    storage_class: str
    checksum: str
    version: str
    marker: bool

    @property
    def id(self) -> str:
        """Where a listing goes on within the key."""
        return str(self.rank)


def find(connection: Connection, found: Found, key: str, version: str | None) -> ObjectInfo:
    """The object of a key, or one of its versions. Raises NoSuchKey, NoSuchVersion and IsDeleteMarker."""
    if version is not None:
        info = get(connection, found, key, version)
        if info is None:
            raise NoSuchVersion(key, version)
        if info.marker:
            raise IsDeleteMarker(key, version, info.modified, latest=False)
        return info
    if found.object is not None:
        return found.object
    newest = _newest(connection, found.bucket, key)
    if newest is None:
        raise NoSuchKey(key)
    raise IsDeleteMarker(key, newest.version, newest.modified, latest=True)


def get(connection: Connection, found: Found, key: str, version: str) -> ObjectInfo | None:
    """One version of a key, which may be a delete marker; None when there is none of this id."""
    if found.object is not None and (found.object.version or NULL) == version:
        return found.object
    if not found.bucket.versioning:
        return None
    row = _BY_ID.first(connection, {**_at(found.bucket, key), "of_version": version})
    return None if row is None else rows.object_info(found.bucket, row, marker=bool(row.marker))


def write(
    connection: Connection, found: Found, info: ObjectInfo, clock: Clock, announce: Announce | None = None
) -> ObjectInfo:
    """Make `info` the newest version of its key; it is returned with its version's id."""
    bucket, present = found
    if bucket.versioning:
        rank = _next_rank(connection, found, info.key, clock)
        info = replace(info, rank=rank, version=_new_id(rank) if bucket.versioning == ENABLED else NULL)
        _make_room(connection, found, info.key, clock)
    elif present is not None:
        rows.release(connection, [present.blob], clock.wall())
    if present is None:
        rows.insert_object(connection, info)
    else:
        rows.update_object(connection, info)
    if announce is not None and bucket.settings:
        announce(Change(bucket, info.key, info.version, created=True, size=info.size, etag=info.etag))
    return info


def remove(
    connection: Connection, found: Found, removal: Removal, clock: Clock, announce: Announce | None = None
) -> Removed:
    """Delete a key's object, or one version for ever. Raises what the removal's condition raises."""
    removed = _remove(connection, found, removal, clock)
    made_marker = removed.marker and removal.version is None
    if announce is not None and found.bucket.settings and (removed.existed or made_marker):
        announce(Change(found.bucket, removal.key, removed.version, created=False, marker=made_marker))
    return removed


def _remove(connection: Connection, found: Found, removal: Removal, clock: Clock) -> Removed:
    target = found.object
    if removal.version is not None:
        target = get(connection, found, removal.key, removal.version)
    if removal.condition is not None:
        removal.condition(target)
    if removal.version is not None:
        return _remove_version(connection, found, removal, target, clock)
    here = _at(found.bucket, removal.key)
    if not found.bucket.versioning:
        if target is not None:
            rows.release(connection, [target.blob], clock.wall())
            _DELETE.run(connection, here)
        return Removed(target is not None)
    rank = _next_rank(connection, found, removal.key, clock)
    _make_room(connection, found, removal.key, clock)
    if target is not None:
        _DELETE.run(connection, here)
    version = _new_id(rank) if found.bucket.versioning == ENABLED else NULL
    _MARK.run(connection, {
        "bucket": found.bucket.name, "key": here["of_key"], "rank": rank, "version": version, "marker": True,
        "blob": "", "size": 0, "etag": "", "modified": float(int(clock.virtual())), "storage_class": STANDARD,
        "checksum": "", "document": "{}",
    })  # fmt: skip
    return Removed(target is not None, version, marker=True)


def amend(connection: Connection, found: Found, info: ObjectInfo) -> None:
    """Write the attributes of an object or version that is there."""
    if found.object is not None and found.object.rank == info.rank:
        rows.update_object(connection, info)
        return
    state = {name: value for name, value in rows.values(info).items() if name in ("document", "storage_class")}
    here = VERSION.c.bucket == info.bucket, VERSION.c.key == info.key.encode(), VERSION.c.rank == info.rank
    connection.execute(update(VERSION).where(*here).values(state))


def fetch(
    connection: Connection, bucket: str, lower: bytes, mark: str, end: bytes | None, most: int
) -> Sequence[VersionRow]:
    """The first `most` versions and delete markers from a key on, or within it from after the rank `mark` on."""
    found = []
    for table, marker in ((OBJECT, false()), (VERSION, VERSION.c.marker)):
        query = select(*(table.c[name] for name in _LISTED), marker.label("marker")).where(table.c.bucket == bucket)
        if mark:
            query = query.where(tuple_(table.c.key, table.c.rank) > tuple_(literal(lower), literal(int(mark))))
        else:
            query = query.where(table.c.key >= lower)
        if end is not None:
            query = query.where(table.c.key < end)
        found.append(connection.execute(query.order_by(table.c.key, table.c.rank).limit(most)).all())
    merged = heapq.merge(*found, key=lambda row: (row.key, row.rank))
    return [VersionRow._make((*row[:-1], bool(row[-1]))) for row, _ in zip(merged, range(most), strict=False)]


def rank_of(connection: Connection, found: Found, key: str, version: str) -> int | None:
    """Where a version stands or stood in its key; None when its id tells nothing and it is not there."""
    info = get(connection, found, key, version)
    if info is not None:
        return info.rank
    try:
        return -int.from_bytes(base64.b32hexdecode(version[:_RANK_LENGTH] + "===", casefold=True), "big")
    except (binascii.Error, ValueError):
        return None


def _remove_version(
    connection: Connection, found: Found, removal: Removal, target: ObjectInfo | None, clock: Clock
) -> Removed:
    assert removal.version is not None
    if target is None:
        return Removed(False, removal.version)
    here = _at(found.bucket, removal.key)
    current = found.object is not None and found.object.rank == target.rank
    if current:
        _DELETE.run(connection, here)
    else:
        _DELETE_VERSION.run(connection, {**here, "of_rank": target.rank})
    if not target.marker:
        rows.release(connection, [target.blob], clock.wall())
    if found.bucket.versioning and (current or found.object is None):
        newest = _newest(connection, found.bucket, removal.key)
        if newest is not None and not newest.marker:
            _PROMOTE.run(connection, {**here, "of_rank": newest.rank})
            _DELETE_VERSION.run(connection, {**here, "of_rank": newest.rank})
    return Removed(True, removal.version, target.marker)


def _make_room(connection: Connection, found: Found, key: str, clock: Clock) -> None:
    """Keep the present object as an earlier version; while versioning is suspended, drop the null version."""
    bucket, present = found
    here = _at(bucket, key)
    if bucket.versioning == SUSPENDED:
        if present is not None and present.version == NULL:
            rows.release(connection, [present.blob], clock.wall())
            return
        old: Any = _BY_ID.first(connection, {**here, "of_version": NULL})
        if old is not None:
            _DELETE_VERSION.run(connection, {**here, "of_rank": old.rank})
            rows.release(connection, [] if old.marker else [old.blob], clock.wall())
    if present is not None:
        _ARCHIVE.run(connection, here)


def _next_rank(connection: Connection, found: Found, key: str, clock: Clock) -> int:
    """Below all ranks of the key, and by the clock where that is possible."""
    newest = found.object or _newest(connection, found.bucket, key)
    now = -int(clock.virtual() * 1_000_000)  # microseconds
    return now if newest is None else min(now, newest.rank - 1)


def _newest(connection: Connection, bucket: BucketInfo, key: str) -> Any:
    return _NEWEST.first(connection, _at(bucket, key)) if bucket.versioning else None


def _new_id(rank: int) -> str:
    """An id that tells its rank, so that a listing can go on after a version that is gone meanwhile."""
    place = base64.b32hexencode((-rank).to_bytes(8, "big")).decode().rstrip("=").lower()
    return place + ids.token(ID_LENGTH - _RANK_LENGTH)


def _at(bucket: BucketInfo, key: str) -> dict[str, Any]:
    return {"of_bucket": bucket.name, "of_key": key.encode()}
