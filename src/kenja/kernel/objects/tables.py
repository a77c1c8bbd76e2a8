"""The tables of the object index as SQLAlchemy sees them; their history is in `migrations`.

Keys are bytes: both databases then order them as S3 does (UTF-8 binary), and every character may be in them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

METADATA = MetaData()

BUCKET = Table(
    "bucket",
    METADATA,
    Column("name", Text, primary_key=True),  # unique in the partition, over all accounts and regions
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("versioning", Text, nullable=False, server_default=""),  # "", "Enabled" or "Suspended"
    Column("settings", Text, nullable=False, server_default="{}"),  # JSON: what every write has to know
    Index("bucket_by_account", "account", "name"),
)
OBJECT = Table(
    "object",
    METADATA,
    Column("bucket", Text, ForeignKey("bucket.name"), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("blob", Text, nullable=False),  # whose only owner this row is
    Column("size", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),  # without quotes
    Column("modified", Double, nullable=False),
    Column("storage_class", Text, nullable=False),
    Column("checksum", Text, nullable=False),  # "CRC32 FULL_OBJECT", or empty: what listings show
    Column("document", Text, nullable=False),  # JSON: headers, metadata, checksum values, sizes of parts
    Column("version", Text, nullable=False, server_default="null"),
    Column("rank", BigInteger, nullable=False, server_default="0"),  # the later written, the lower; unique per key
    Index("object_by_blob", "blob"),
    sqlite_with_rowid=False,
)
VERSION = Table(  # all versions but the one that OBJECT has: earlier ones, and delete markers
    "version",
    METADATA,
    Column("bucket", Text, ForeignKey("bucket.name"), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("rank", BigInteger, primary_key=True, autoincrement=False),
    Column("version", Text, nullable=False),
    Column("marker", Boolean, nullable=False),  # a delete marker, which has no blob
    Column("blob", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("modified", Double, nullable=False),
    Column("storage_class", Text, nullable=False),
    Column("checksum", Text, nullable=False),
    Column("document", Text, nullable=False),
    Index("version_by_id", "bucket", "key", "version", unique=True),
    Index("version_by_blob", "blob"),
    sqlite_with_rowid=False,
)
UPLOAD = Table(
    "upload",
    METADATA,
    Column("bucket", Text, ForeignKey("bucket.name"), primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("initiated", Double, nullable=False),
    Column("initiator", Text, nullable=False),  # the ARN of who began it
    Column("storage_class", Text, nullable=False),
    Column("checksum", Text, nullable=False),  # as in OBJECT
    Column("document", Text, nullable=False),
    sqlite_with_rowid=False,
)
PART = Table(
    "part",
    METADATA,
    Column("bucket", Text, primary_key=True),
    Column("key", LargeBinary, primary_key=True),
    Column("upload", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("blob", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("etag", Text, nullable=False),
    Column("modified", Double, nullable=False),
    Column("checksum", Text, nullable=False),  # base64, or empty; a second one after a space: see PartInfo
    ForeignKeyConstraint(["bucket", "key", "upload"], ["upload.bucket", "upload.key", "upload.id"]),
    Index("part_by_blob", "blob"),
    sqlite_with_rowid=False,
)
DOCUMENT = Table(
    "bucket_document",
    METADATA,
    Column("bucket", Text, ForeignKey("bucket.name"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),  # empty where a bucket has one of the kind at most
    Column("document", Text, nullable=False),
    sqlite_with_rowid=False,
)
OUTBOX = Table(  # as the one of the resources; an object and its event are written in one transaction
    "object_outbox",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("detail_type", Text, nullable=False),
    Column("resources", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
SMALL = Table(  # bodies that are written with the row of OBJECT or VERSION that names them
    "small_blob",
    METADATA,
    Column("blob", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
RELEASED = Table(
    "released_blob",
    METADATA,
    Column("blob", Text, primary_key=True),
    Column("at", Double, nullable=False),  # wall clock
    Index("released_blob_by_at", "at"),
)
