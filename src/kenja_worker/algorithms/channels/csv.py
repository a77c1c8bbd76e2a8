"""CSV of numbers, read quickly, with the file and the line named when one is broken. No header, no quotes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kenja_worker.algorithms.channels.files import Source, lines
from kenja_worker.algorithms.channels.table import Growing, Table
from kenja_worker.algorithms.errors import ClientError

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

_DELIMITERS = (b",", b"\t", b";", b"|", b" ")
MAX_FLOAT = 3.4028235e38  # the largest 32-bit float; the library computes with those


def read(sources: Iterable[Source], *, weights: bool = False) -> Table:
    """The first column is the label, the second the weight where there are some; an empty field is NaN.

    Raises ClientError that names file and line for text, ragged rows, a header line, a missing label or weight.
    """
    columns = 0
    rows: Growing | None = None
    for source in sources:
        wide = _read_one(source, rows, weights=weights)
        if columns and wide.columns != columns:
            raise ClientError(f"{source.where} has {wide.columns} columns, the channel's first file has {columns}.")
        rows, columns = wide.rows, wide.columns
    assert rows is not None, "a channel has one source at least"
    table = rows.whole()
    if weights:
        return Table(table[:, 2:], table[:, 0], table[:, 1].copy())
    return Table(table[:, 1:], table[:, 0])


class _File:
    """One file on its way into the rows of its channel."""

    def __init__(self, source: Source, rows: Growing | None, least: int) -> None:
        self.where = source.where
        self.columns = 0
        self.rows = rows
        self._size = source.size
        self._least = least  # columns: label, perhaps a weight, a feature

    def add(self, table: Array, data: bytes, first: int) -> None:
        if self.columns and table.shape[1] != self.columns:
            raise ClientError(
                f"{self.where}, line {first}: {table.shape[1]} columns, but {self.columns} in the lines before it."
            )
        self.columns = table.shape[1]
        if self.columns < self._least:
            wanted = "the label, the weight" if self._least == 3 else "the label"
            count = "one column" if self.columns == 1 else f"{self.columns} columns"
            raise ClientError(f"{self.where} has {count}; {wanted} and at least one feature are needed.")
        if self.rows is None:
            self.rows = Growing("float32", self.columns)
        if self.rows.columns == self.columns:  # else the channel's reader refuses the file
            if not len(self.rows):
                self.rows.reserve(int(self._size / max(1, len(data)) * len(table)))
            self.rows.append(table)


def _read_one(source: Source, rows: Growing | None, *, weights: bool) -> _File:
    file = _File(source, rows, 3 if weights else 2)
    delimiter = b""
    for data, first in lines(source):
        if not data.strip():
            continue
        if not delimiter:
            line = data.lstrip(b"\r\n").split(b"\n", 1)[0].strip()
            delimiter = next((mark for mark in _DELIMITERS if mark in line), b",")
        table = _quick(data, delimiter)
        if table is None or not _in_order(table, weights=weights):
            table = _careful(data, delimiter, source.where, first, weights=weights)
        file.add(table, data, first)
    if not file.columns:
        raise ClientError(f"{source.where} is empty.")
    return file


def _in_order(table: Array, *, weights: bool) -> bool:
    import numpy

    return bool(
        numpy.isfinite(table[:, : 2 if weights else 1]).all()
        and not numpy.isinf(table).any()
        and not (weights and (table[:, 1:2] < 0).any())
    )


def _quick(data: bytes, delimiter: bytes) -> Array | None:
    """The table, or None when anything at all is unusual."""
    import numpy

    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if delimiter * 2 in data or delimiter + b"\n" in data or data.endswith(delimiter):
        data = _spell_missing(data, delimiter)
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    try:
        values = numpy.fromstring(
            data.strip(b"\n").replace(b"\n", delimiter),
            dtype=numpy.float64,
            sep=delimiter.decode(),
        )
    except ValueError:
        return None
    columns = data.split(b"\n", 1)[0].count(delimiter) + 1
    if values.size != lines * columns or delimiter == b" ":
        return None
    if any(line.count(delimiter) + 1 != columns for line in data.splitlines()):
        return None
    with numpy.errstate(over="ignore"):
        return values.reshape(lines, columns).astype(numpy.float32)


def _spell_missing(data: bytes, delimiter: bytes) -> bytes:
    """Empty fields, but for the first of a line, become nan."""
    for _ in range(2):  # replacing is not overlapping: three delimiters in a row need a second turn
        data = data.replace(delimiter * 2, delimiter + b"nan" + delimiter)
    data = data.replace(delimiter + b"\n", delimiter + b"nan\n")
    return data + b"nan" if data.endswith(delimiter) else data


def _careful(data: bytes, delimiter: bytes, where: str, start: int, *, weights: bool) -> Array:
    """The table, line by line. Raises ClientError at the first line that is not in order."""
    import numpy

    rows: list[list[float]] = []
    for number, line in enumerate(data.split(b"\n"), start=start):
        text = line.strip(b" \r") if delimiter != b"\t" else line.strip(b"\r")
        if not text:
            continue
        row = [
            _field(field, f"{where}, line {number}", first=start == 1 and not rows) for field in text.split(delimiter)
        ]
        _check_head(row, f"{where}, line {number}", weights=weights)
        if rows and len(row) != len(rows[0]):
            raise ClientError(f"{where}, line {number}: {len(row)} columns, but {len(rows[0])} in the lines before it.")
        rows.append(row)
    return numpy.array(rows, dtype=numpy.float32)


def _check_head(row: list[float], where: str, *, weights: bool) -> None:
    if not math.isfinite(row[0]):
        raise ClientError(f"{where}: the label, which is the first column, is missing or not finite.")
    if weights and len(row) > 1 and not row[1] >= 0:
        raise ClientError(f"{where}: the weight, which is the second column, is missing or negative.")


def _field(field: bytes, where: str, *, first: bool) -> float:
    text = field.strip()
    if not text:
        return math.nan
    try:
        value = float(text.replace(b"_", b"?"))  # Python alone reads 1_000 as a number
    except ValueError:
        shown = text[:40].decode("utf-8", "backslashreplace")
        hint = " If this is a header line, remove it: training CSV has none." if first else ""
        raise ClientError(f"{where}: '{shown}' is not a number.{hint}") from None
    if abs(value) > MAX_FLOAT:
        raise ClientError(f"{where}: {text[:40].decode()} is infinite or too large for a 32-bit number.")
    return value
