"""Jobs carry the id of their resource and may be held at a gate; listings by status have an index."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_JOB = sa.table("job", sa.column("id", sa.Text), sa.column("data", sa.Text), sa.column("resource", sa.BigInteger))


def upgrade() -> None:
    op.add_column("job", sa.Column("resource", sa.BigInteger, nullable=False, server_default="0"))
    connection = op.get_bind()
    for row in connection.execute(sa.select(_JOB.c.id, _JOB.c.data)).all():
        data = json.loads(row.data)
        values = {"resource": data.pop("resource"), "data": json.dumps(data)}
        connection.execute(sa.update(_JOB).where(_JOB.c.id == row.id).values(values))
    op.drop_index("job_by_resource", "job")
    op.create_index("resource_by_status", "resource", ["account", "region", "kind", "status", "id"])
    op.create_table(
        "job_gate",
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("steps", sa.Integer, nullable=False),
    )
