"""Replicas belong to a revision of their resource, may be retired from it, and have a share of its requests."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("replica", sa.Column("revision", sa.Integer, nullable=False, server_default="1"))
    op.add_column("replica", sa.Column("retired", sa.Integer, nullable=False, server_default="0"))
    op.add_column("replica", sa.Column("weight", sa.Double, nullable=False, server_default="1"))
