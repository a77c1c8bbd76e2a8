"""The tables of the metric series: which metrics there are and their points at each resolution."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, LargeBinary, MetaData, Table, Text

METADATA = MetaData()
_ID = BigInteger().with_variant(Integer, "sqlite")
_NAME = Text().with_variant(Text(collation="C"), "postgresql")  # names sort by code point on both databases

METRIC = Table(
    "metric",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("namespace", _NAME, nullable=False),
    Column("name", _NAME, nullable=False),
    Column("digest", Text, nullable=False),  # of the dimensions, which are too long for an index
    Column("dimensions", Text, nullable=False),  # JSON: [[name, value], …] sorted by name
    Column("last", BigInteger, nullable=False),  # start of the minute of its newest point; seconds since the epoch
)
POINT = Table(
    "metric_point",
    METADATA,
    Column("metric", BigInteger, primary_key=True, autoincrement=False),
    Column("resolution", Integer, primary_key=True, autoincrement=False),  # seconds
    Column("start", BigInteger, primary_key=True, autoincrement=False),  # seconds since the epoch
    Column("unit", Text, primary_key=True),
    Column("count", Double, nullable=False),
    Column("sum", Double, nullable=False),
    Column("minimum", Double, nullable=False),
    Column("maximum", Double, nullable=False),
    Column("sketch", LargeBinary, nullable=False),
)
INGESTED = Table(
    "metric_ingested",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)
