"""Log groups and streams."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "log_group",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("account", "region", "name"),
    )
    op.create_table(
        "log_stream",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("log_group", sa.BigInteger, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("first_event", sa.BigInteger, nullable=False),
        sa.Column("last_event", sa.BigInteger, nullable=False),
        sa.Column("ingested", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.Boolean, nullable=False),
        sa.UniqueConstraint("log_group", "name"),
    )
    op.create_index("log_stream_by_last_event", "log_stream", ["log_group", "last_event", "name"])
    op.create_index("log_stream_by_first_event", "log_stream", ["log_group", "first_event", "id"])
    op.create_index("log_stream_by_sealed", "log_stream", ["log_group", "sealed"])
