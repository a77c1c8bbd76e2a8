"""Parquet: the first column is the label, the others are features, by position as in AWS's image. Numbers and booleans only."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.channels.files import Source
from kenja_worker.algorithms.channels.table import Growing, Table
from kenja_worker.algorithms.errors import ClientError

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

_ROWS = 65536  # of one batch
_MAGIC = b"PAR1"  # a file begins and ends with it


def read(sources: Iterable[Source]) -> Table:
    """A null is NaN. Raises ClientError that names file and column, or row, for what is no number or no label."""
    rows: Growing | None = None
    for source in sources:
        for stream in _streams(source):
            rows = _read_one(stream, rows, source.where)
    assert rows is not None, "a channel has one source at least"
    table = rows.whole()
    return Table(table[:, 1:], table[:, 0])


def _streams(source: Source) -> Iterator[Any]:
    """The file; or the files that a pipe delivers one behind the other."""
    if source.size:
        yield source.stream
        return
    data = source.stream.read()  # the table of contents is at the end
    pieces = data.split(_MAGIC + _MAGIC)
    for number, piece in enumerate(pieces):
        yield io.BytesIO((_MAGIC if number else b"") + piece + (_MAGIC if number < len(pieces) - 1 else b""))


def _read_one(stream: Any, rows: Growing | None, where: str) -> Growing:
    """Append a file's rows."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(stream, memory_map=False)
        names = _columns(file.schema_arrow, where)
        if rows is None:
            rows = Growing("float32", len(names))
        if len(names) != rows.columns:
            raise ClientError(f"{where} has {len(names)} columns, the channel's first file has {rows.columns}.")
        _append(file, names, rows, where)
    # A damaged file shows itself at any step: a text that is none, a length that cannot be, a page that is cut off.
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise ClientError(f"{where} is not a Parquet file: {' '.join(str(error).split())[:300]}") from error
    return rows


def _columns(schema: Any, where: str) -> list[str]:
    """Names of label and features. An index that pandas stored is none of them, as pandas itself reads it."""
    import pyarrow.types as types

    index = [entry for entry in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(entry, str)]
    fields = [field for field in schema if field.name not in index]
    if len(fields) < 2:
        raise ClientError(f"{where} has {len(fields)} column(s); the label and at least one feature are needed.")
    names = [field.name for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ClientError(f"{where} has several columns named '{twice[0]}'; give each its own name.")
    for field in fields:
        kind = field.type
        number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
        if not number and not types.is_null(kind):
            raise ClientError(
                f"{where}: column '{field.name}' holds {kind}; all columns must be numbers. Encode or drop it."
            )
    return names


def _append(file: Any, names: list[str], rows: Growing, where: str) -> None:
    import numpy

    done = 0
    for batch in file.iter_batches(batch_size=_ROWS, columns=names, use_threads=False):
        piece = numpy.empty((batch.num_rows, rows.columns), dtype=numpy.float32)
        for number, name in enumerate(names):
            piece[:, number] = _numbers(batch.column(name))
        _check(piece, where, done, names)
        rows.append(piece)
        done += batch.num_rows


def _numbers(column: Any) -> Array:
    """(rows,) of a column; nulls are NaN."""
    import numpy
    import pyarrow

    if pyarrow.types.is_null(column.type):
        return numpy.full(len(column), numpy.nan, dtype=numpy.float32)
    if pyarrow.types.is_decimal(column.type) or pyarrow.types.is_boolean(column.type):
        column = column.cast(pyarrow.float64() if pyarrow.types.is_decimal(column.type) else pyarrow.int8())
    with numpy.errstate(over="ignore"):
        return numpy.asarray(column.to_numpy(zero_copy_only=False), dtype=numpy.float32)


def _check(piece: Array, where: str, done: int, names: list[str]) -> None:
    import numpy

    labels = numpy.flatnonzero(~numpy.isfinite(piece[:, 0]))
    if labels.size:
        raise ClientError(
            f"{where}, row {done + labels[0] + 1}: the label, column '{names[0]}', is missing or not finite."
        )
    row, column = numpy.nonzero(numpy.isinf(piece))
    if row.size:
        raise ClientError(
            f"{where}, row {done + row[0] + 1}: column '{names[column[0]]}' is infinite or too large for a 32-bit number."
        )
