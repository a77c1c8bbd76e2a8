"""The tables of the resource store as SQLAlchemy sees them; their history is in `migrations`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, MetaData, Table, Text

METADATA = MetaData()
_ID = BigInteger().with_variant(Integer, "sqlite")

RESOURCE = Table(
    "resource",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("arn", Text, nullable=False),
    Column("status", Text),
    Column("created", Double, nullable=False),
    Column("modified", Double, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
)
TAG = Table(
    "tag",
    METADATA,
    Column("arn", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
JOB = Table(
    "job",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("driver", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("created", Double, nullable=False),
    Column("data", Text, nullable=False),
    Column("resource", _ID, nullable=False),  # id of the resource that it works for
)
JOB_GATE = Table(
    "job_gate",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("job", Text, primary_key=True),  # id of a job that is held; empty: the account's new ones will be
    Column("steps", Integer, nullable=False),  # that it was granted so far
)
REPLICA = Table(
    "replica",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("resource", _ID, nullable=False),  # id of the resource that it serves
    Column("host", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("serving", Integer, nullable=False),  # 1 while requests are routed to its resource
    Column("revision", Integer, nullable=False),  # of the resource; an update makes another one beside it
    Column("retired", Integer, nullable=False),  # 1 when it is to end though its resource goes on
    Column("weight", Double, nullable=False),  # of its variant among the requests of the resource
    Column("owner", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("data", Text, nullable=False),
)
OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("detail_type", Text, nullable=False),
    Column("resources", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
IDEMPOTENCY = Table(
    "idempotency",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("token", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("at", Double, nullable=False),
)
SECRET = Table("secret", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
