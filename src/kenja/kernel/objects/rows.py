"""Rows of the object index to and from records, and the statements that several modules share. No transactions here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import BigInteger, Connection, and_, bindparam, func, insert, select, update

from kenja.kernel.objects.errors import ForeignBucket, NoSuchBucket
from kenja.kernel.objects.records import NULL, Attributes, BucketInfo, Checksum, ObjectInfo
from kenja.kernel.objects.tables import BUCKET, OBJECT, RELEASED
from kenja.kernel.statements import Statement

STATE = ("blob", "size", "etag", "modified", "storage_class", "checksum", "document", "version", "rank")
OBJECT_COLUMNS = (OBJECT.c.key, *(OBJECT.c[name] for name in STATE))
LISTED = (OBJECT.c.key, OBJECT.c.size, OBJECT.c.etag, OBJECT.c.modified, OBJECT.c.storage_class, OBJECT.c.checksum)
_HERE = and_(OBJECT.c.bucket == BUCKET.c.name, OBJECT.c.key == bindparam("key"))
_LOOK = Statement(
    select(BUCKET, *OBJECT_COLUMNS)
    .select_from(BUCKET.outerjoin(OBJECT, _HERE))
    .where(BUCKET.c.name == bindparam("bucket"))
)
_BUCKET = Statement(select(BUCKET).where(BUCKET.c.name == bindparam("bucket")))
_LOCK = Statement(select(func.pg_advisory_xact_lock(bindparam("number", type_=BigInteger))))
_INSERT = Statement(insert(OBJECT))
_UPDATE = Statement(
    update(OBJECT)
    .where(OBJECT.c.bucket == bindparam("of_bucket"), OBJECT.c.key == bindparam("of_key"))
    .values({name: bindparam(name) for name in STATE})
)
_RELEASE = Statement(insert(RELEASED))
_FROM = (
    select(*LISTED)
    .where(OBJECT.c.bucket == bindparam("of_bucket"), OBJECT.c.key >= bindparam("lower"))
    .order_by(OBJECT.c.key)
    .limit(bindparam("most"))
)
_RANGE, _RANGE_TO = Statement(_FROM), Statement(_FROM.where(OBJECT.c.key < bindparam("end")))
IMPLIED = " implied"  # what follows algorithm and kind of an upload whose checksum nobody asked for
_MAPPINGS = ("headers", "metadata", "tags", "encryption", "lock")  # of Attributes


class Found(NamedTuple):
    """A bucket and the object that a key has now."""

    bucket: BucketInfo
    object: ObjectInfo | None


def bucket(connection: Connection, account: str, name: str) -> BucketInfo:
    """The bucket, if it is the account's. Raises NoSuchBucket and ForeignBucket."""
    return bucket_info(_BUCKET.first(connection, {"bucket": name}), account, name)


def bucket_info(row: Any, account: str, name: str) -> BucketInfo:
    """The record of a row with the columns of the table `bucket`. Raises NoSuchBucket and ForeignBucket."""
    if row is None:
        raise NoSuchBucket(name)
    if row.account != account:
        raise ForeignBucket(name)
    settings = {} if row.settings == "{}" else orjson.loads(row.settings)
    return BucketInfo(name, row.account, row.region, row.created, row.versioning, settings)


def look(connection: Connection, account: str, bucket_name: str, key: str) -> Found:
    """The bucket and the object, or None for it; one statement. Raises NoSuchBucket and ForeignBucket."""
    row = _LOOK.first(connection, {"bucket": bucket_name, "key": key.encode()})
    found = bucket_info(row, account, bucket_name)
    return Found(found, None if row is None or row.blob is None else object_info(found, row))


def listed(connection: Connection, bucket_name: str, lower: bytes, end: bytes | None, most: int) -> Sequence[Any]:
    """The columns LISTED of the first objects from a key on, below `end` if there is one."""
    values = {"of_bucket": bucket_name, "lower": lower, "end": end, "most": most}
    return (_RANGE if end is None else _RANGE_TO).all(connection, values)


def lock(connection: Connection, bucket_name: str, key: str) -> None:
    """Let no other transaction write this key; needless on SQLite, whose transactions are exclusive."""
    if connection.dialect.name == "postgresql":
        digest = hashlib.blake2b(f"{bucket_name}/{key}".encode(), digest_size=8).digest()
        _LOCK.first(connection, {"number": int.from_bytes(digest, "big", signed=True)})


def insert_object(connection: Connection, info: ObjectInfo) -> None:
    """Make `info` the object of a key that has none."""
    _INSERT.run(connection, {"bucket": info.bucket, "key": info.key.encode(), **values(info)})


def update_object(connection: Connection, info: ObjectInfo) -> None:
    """Make `info` the object of a key that has one; what becomes of that one's blob is the caller's matter."""
    _UPDATE.run(connection, {"of_bucket": info.bucket, "of_key": info.key.encode(), **values(info)})


def values(info: ObjectInfo) -> dict[str, Any]:
    """The columns STATE of an object."""
    return {
        "blob": info.blob,
        "size": info.size,
        "etag": info.etag,
        "modified": info.modified,
        "storage_class": info.attributes.storage_class,
        "checksum": checksum_text(info.checksum),
        "document": _document(info),
        "version": info.version or NULL,
        "rank": info.rank,
    }


def release(connection: Connection, blobs: list[str], at: float) -> None:
    """Note blobs that no row names any more; their files stay for the readers of the moment."""
    for blob in blobs:
        _RELEASE.run(connection, {"blob": blob, "at": at})


def object_info(of: BucketInfo, row: Any, *, marker: bool = False) -> ObjectInfo:
    """The record of a row of an object or of a version."""
    document = orjson.loads(row.document)
    return ObjectInfo(
        of.name, row.key.decode(), row.blob, row.size, row.etag, row.modified,
        _attributes(document, row.storage_class),
        checksum(row.checksum, document.get("value", "")),
        tuple(document.get("parts", ())),
        document.get("upload", ""),
        tuple(document.get("part_checksums", ())),
        row.version if of.versioning else "",
        row.rank,
        marker,
    )  # fmt: skip


def attributes_text(attributes: Attributes) -> str:
    """What is not empty of the attributes, as a document; the storage class has a column of its own."""
    return orjson.dumps(_attributes_document(attributes)).decode()


def attributes(text: str, storage_class: str) -> Attributes:
    """What `attributes_text` was given."""
    return _attributes(orjson.loads(text), storage_class)


def _attributes(document: Mapping[str, Any], storage_class: str) -> Attributes:
    empty: dict[str, str] = {}
    return Attributes(
        document.get("headers", empty), document.get("metadata", empty), storage_class, document.get("tags", empty),
        document.get("encryption", empty), document.get("lock", empty), document.get("acl", ""),
    )  # fmt: skip


def _attributes_document(attributes: Attributes) -> dict[str, Any]:
    parts = {name: dict(part) for name in _MAPPINGS if (part := getattr(attributes, name))}
    return {**parts, "acl": attributes.acl} if attributes.acl else parts


def checksum_text(value: Checksum | None) -> str:
    """Algorithm and kind, as the column `checksum` has them."""
    return "" if value is None else f"{value.algorithm} {value.kind}"


def checksum(text: str, value: str = "") -> Checksum | None:
    """What `checksum_text` was given, with its value where it is known."""
    if not text:
        return None
    algorithm, kind = text.removesuffix(IMPLIED).split(" ")
    return Checksum(algorithm, kind, value)


def _document(info: ObjectInfo) -> str:
    document = _attributes_document(info.attributes)
    if info.checksum is not None:
        document["value"] = info.checksum.value
    if info.part_sizes:
        document["parts"] = info.part_sizes
    if info.part_checksums:
        document["part_checksums"] = info.part_checksums
    if info.upload:
        document["upload"] = info.upload
    return orjson.dumps(document).decode()
