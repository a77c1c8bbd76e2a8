"""Rows of the object index to and from records, and the statements that several modules share. No transactions here."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from sqlalchemy import Connection, and_, bindparam, func, insert, select, update

from kenja.kernel.objects.errors import ForeignBucket, NoSuchBucket
from kenja.kernel.objects.records import Attributes, BucketInfo, Checksum, ObjectInfo
from kenja.kernel.objects.tables import BUCKET, OBJECT, RELEASED

OBJECT_COLUMNS = (OBJECT.c.key, OBJECT.c.blob, OBJECT.c.size, OBJECT.c.etag, OBJECT.c.modified, OBJECT.c.storage_class,
                  OBJECT.c.checksum, OBJECT.c.document)  # fmt: skip
LISTED = (OBJECT.c.key, OBJECT.c.size, OBJECT.c.etag, OBJECT.c.modified, OBJECT.c.storage_class, OBJECT.c.checksum)
_HERE = and_(OBJECT.c.bucket == BUCKET.c.name, OBJECT.c.key == bindparam("key"))
_LOOK = (
    select(BUCKET.c.account, *OBJECT_COLUMNS)
    .select_from(BUCKET.outerjoin(OBJECT, _HERE))
    .where(BUCKET.c.name == bindparam("bucket"))
)
_BUCKET = select(BUCKET).where(BUCKET.c.name == bindparam("bucket"))
_LOCK = select(func.pg_advisory_xact_lock(bindparam("number")))
_INSERT = insert(OBJECT)
_UPDATE = (
    update(OBJECT)
    .where(OBJECT.c.bucket == bindparam("of_bucket"), OBJECT.c.key == bindparam("of_key"))
    .values(
        {
            name: bindparam(name)
            for name in ("blob", "size", "etag", "modified", "storage_class", "checksum", "document")
        }
    )
)
_RELEASE = insert(RELEASED)


def bucket(connection: Connection, account: str, name: str) -> BucketInfo:
    """The bucket, if it is the account's. Raises NoSuchBucket and ForeignBucket."""
    row = connection.execute(_BUCKET, {"bucket": name}).first()
    if row is None:
        raise NoSuchBucket(name)
    if row.account != account:
        raise ForeignBucket(name)
    return BucketInfo(row.name, row.account, row.region, row.created)


def look(connection: Connection, account: str, bucket_name: str, key: str) -> ObjectInfo | None:
    """The object, or None; one statement. Raises NoSuchBucket and ForeignBucket."""
    row = connection.execute(_LOOK, {"bucket": bucket_name, "key": key.encode()}).first()
    if row is None:
        raise NoSuchBucket(bucket_name)
    if row.account != account:
        raise ForeignBucket(bucket_name)
    return None if row.blob is None else object_info(bucket_name, row)


def lock(connection: Connection, bucket_name: str, key: str) -> None:
    """Let no other transaction write this key; needless on SQLite, whose transactions are exclusive."""
    if connection.dialect.name == "postgresql":
        digest = hashlib.blake2b(f"{bucket_name}/{key}".encode(), digest_size=8).digest()
        connection.execute(_LOCK, {"number": int.from_bytes(digest, "big", signed=True)})


def write(connection: Connection, info: ObjectInfo, previous: ObjectInfo | None, at: float) -> None:
    """Make `info` the object of its key; the blob of `previous`, which is there now, is released at wall time `at`."""
    values = {
        "blob": info.blob,
        "size": info.size,
        "etag": info.etag,
        "modified": info.modified,
        "storage_class": info.attributes.storage_class,
        "checksum": checksum_text(info.checksum),
        "document": _document(info),
    }
    key = info.key.encode()
    if previous is None:
        connection.execute(_INSERT, {"bucket": info.bucket, "key": key, **values})
    else:
        connection.execute(_UPDATE, {"of_bucket": info.bucket, "of_key": key, **values})
        release(connection, [previous.blob], at)


def release(connection: Connection, blobs: list[str], at: float) -> None:
    """Note blobs that no row names any more; their files stay for the readers of the moment."""
    if blobs:
        connection.execute(_RELEASE, [{"blob": blob, "at": at} for blob in blobs])


def object_info(bucket_name: str, row: Any) -> ObjectInfo:
    """The record of a row."""
    document = orjson.loads(row.document)
    return ObjectInfo(
        bucket_name, row.key.decode(), row.blob, row.size, row.etag, row.modified,
        Attributes(document.get("headers", {}), document.get("metadata", {}), row.storage_class),
        checksum(row.checksum, document.get("value", "")),
        tuple(document.get("parts", ())),
        document.get("upload", ""),
    )  # fmt: skip


def attributes_text(attributes: Attributes) -> str:
    """Headers and metadata as a document; the storage class has a column of its own."""
    return orjson.dumps({"headers": dict(attributes.headers), "metadata": dict(attributes.metadata)}).decode()


def attributes(text: str, storage_class: str) -> Attributes:
    """What `attributes_text` was given."""
    document = orjson.loads(text)
    return Attributes(document["headers"], document["metadata"], storage_class)


def checksum_text(value: Checksum | None) -> str:
    """Algorithm and kind, as the column `checksum` has them."""
    return "" if value is None else f"{value.algorithm} {value.kind}"


def checksum(text: str, value: str = "") -> Checksum | None:
    """What `checksum_text` was given, with its value where it is known."""
    if not text:
        return None
    algorithm, _, kind = text.partition(" ")
    return Checksum(algorithm, kind, value)


def _document(info: ObjectInfo) -> str:
    document: dict[str, Any] = {}
    if info.attributes.headers:
        document["headers"] = dict(info.attributes.headers)
    if info.attributes.metadata:
        document["metadata"] = dict(info.attributes.metadata)
    if info.checksum is not None:
        document["value"] = info.checksum.value
    if info.part_sizes:
        document["parts"] = info.part_sizes
    if info.upload:
        document["upload"] = info.upload
    return orjson.dumps(document).decode()
