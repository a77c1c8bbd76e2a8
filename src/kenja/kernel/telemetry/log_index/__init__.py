"""The index of the log segments: which groups and streams there are and where their lines lie; no line is in SQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, Table, Text

METADATA = MetaData()
_ID = BigInteger().with_variant(Integer, "sqlite")
_NAME = Text().with_variant(Text(collation="C"), "postgresql")  # names sort by code point on both databases

GROUP = Table(
    "log_group",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("name", _NAME, nullable=False),
    Column("created", BigInteger, nullable=False),  # ms since the epoch, like every time here
)
STREAM = Table(
    "log_stream",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("log_group", BigInteger, nullable=False),
    Column("name", _NAME, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("segment", Text, nullable=False),  # path below the telemetry folder
    Column("size", BigInteger, nullable=False),  # bytes of the segment when it was last looked at
    Column("first_event", BigInteger, nullable=False),  # -1: none yet
    Column("last_event", BigInteger, nullable=False),  # -1: none yet
    Column("ingested", BigInteger, nullable=False),  # time of the last write
    Column("sealed", Boolean, nullable=False),  # nobody writes: the columns above are final
)
