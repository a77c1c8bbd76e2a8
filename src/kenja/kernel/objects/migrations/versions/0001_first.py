"""Buckets, objects, uploads, parts and blobs that wait for removal."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "bucket",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_index("bucket_by_account", "bucket", ["account", "name"])
    op.create_table(
        "object",
        sa.Column("bucket", sa.Text, sa.ForeignKey("bucket.name"), primary_key=True),
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("blob", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("modified", sa.Double, nullable=False),
        sa.Column("storage_class", sa.Text, nullable=False),
        sa.Column("checksum", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("object_by_blob", "object", ["blob"])
    op.create_table(
        "upload",
        sa.Column("bucket", sa.Text, sa.ForeignKey("bucket.name"), primary_key=True),
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("initiated", sa.Double, nullable=False),
        sa.Column("initiator", sa.Text, nullable=False),
        sa.Column("storage_class", sa.Text, nullable=False),
        sa.Column("checksum", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "part",
        sa.Column("bucket", sa.Text, primary_key=True),
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("upload", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("blob", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("modified", sa.Double, nullable=False),
        sa.Column("checksum", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["bucket", "key", "upload"], ["upload.bucket", "upload.key", "upload.id"]),
        sqlite_with_rowid=False,
    )
    op.create_index("part_by_blob", "part", ["blob"])
    op.create_table(
        "released_blob",
        sa.Column("blob", sa.Text, primary_key=True),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("released_blob_by_at", "released_blob", ["at"])
