"""Versions of objects, and what a bucket says of them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("bucket", sa.Column("versioning", sa.Text, nullable=False, server_default=""))
    op.add_column("bucket", sa.Column("settings", sa.Text, nullable=False, server_default="{}"))
    op.add_column("object", sa.Column("version", sa.Text, nullable=False, server_default="null"))
    op.add_column("object", sa.Column("rank", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "version",
        sa.Column("bucket", sa.Text, sa.ForeignKey("bucket.name"), primary_key=True),
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("rank", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("marker", sa.Boolean, nullable=False),
        sa.Column("blob", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("modified", sa.Double, nullable=False),
        sa.Column("storage_class", sa.Text, nullable=False),
        sa.Column("checksum", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("version_by_id", "version", ["bucket", "key", "version"], unique=True)
    op.create_index("version_by_blob", "version", ["blob"])
