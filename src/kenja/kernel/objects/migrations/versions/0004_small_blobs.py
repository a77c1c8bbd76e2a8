"""Small bodies lie beside the rows that name them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "small_blob",
        sa.Column("blob", sa.Text, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
