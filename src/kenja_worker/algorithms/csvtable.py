"""CSV files of numbers, read quickly, with the file and the line named when one is broken. No header, no quotes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from kenja_worker.algorithms.algorithm import Channel
from kenja_worker.algorithms.errors import ClientError

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

_DELIMITERS = (b",", b"\t", b";", b"|", b" ")
_CONTENT_TYPES = ("text/csv", "csv")


def require_csv(channel: Channel) -> None:
    """Raises ClientError unless the channel is declared as CSV with one label column, in File or FastFile mode."""
    if channel.input_mode == "Pipe":
        raise ClientError(f"Channel '{channel.name}' has input mode Pipe, which is not supported yet; use File.")
    kind, _, parameters = channel.content_type.lower().partition(";")
    if kind.strip() not in _CONTENT_TYPES:
        given = (
            f"ContentType '{channel.content_type}'" if channel.content_type else "no ContentType, which means libsvm"
        )
        raise ClientError(
            f"Channel '{channel.name}' has {given}; only text/csv is supported so far (libsvm, parquet and "
            "recordio-protobuf come with a later version). Set ContentType to text/csv."
        )
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "label_size" and value.strip() != "1":
            raise ClientError(f"Channel '{channel.name}' has label_size={value.strip()}; this algorithm has one label.")


def data_files(channel: Channel) -> list[Path]:
    """The channel's files in a stable order, without hidden ones. Raises ClientError when there is none."""
    paths = sorted(path for path in channel.folder.rglob("*") if path.is_file())
    files = [path for path in paths if not path.name.startswith((".", "_"))]
    if not files:
        raise ClientError(f"Channel '{channel.name}' is empty: no data files below {channel.folder}.")
    return files


def read_channel(channel: Channel) -> Array:
    """All rows of the channel: (rows, columns) float32; an empty field is NaN. The first column is the label.

    Raises ClientError that names file and line for text, ragged rows, a header line, a missing label.
    """
    import numpy

    tables: list[Array] = []
    for path in data_files(channel):
        where = f"channel '{channel.name}', file {path.relative_to(channel.folder)}"
        table = _read_file(path, where)
        if tables and table.shape[1] != tables[0].shape[1]:
            raise ClientError(
                f"{where} has {table.shape[1]} columns, the channel's first file has {tables[0].shape[1]}."
            )
        tables.append(table)
    return tables[0] if len(tables) == 1 else numpy.concatenate(tables)


def _read_file(path: Path, where: str) -> Array:
    import numpy

    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # a byte-order mark, as Excel writes it
    if not data.strip():
        raise ClientError(f"{where} is empty.")
    first_line = data.lstrip(b"\r\n").split(b"\n", 1)[0]
    delimiter = next((mark for mark in _DELIMITERS if mark in first_line.strip()), b",")
    table = _quick(data, delimiter)
    if table is None:
        table = _careful(data, delimiter, where)
    if table.shape[1] < 2:
        raise ClientError(f"{where} has one column; the label and at least one feature are needed.")
    if not numpy.isfinite(table[:, 0]).all() or numpy.isinf(table).any():
        _careful(data, delimiter, where)
    return table


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


def _careful(data: bytes, delimiter: bytes, where: str) -> Array:
    """The table, line by line. Raises ClientError at the first line that is not in order."""
    import numpy

    rows: list[list[float]] = []
    for number, line in enumerate(data.splitlines(), start=1):
        text = line.strip(b" \r\n") if delimiter != b"\t" else line.strip(b"\r\n")
        if not text:
            continue
        row = _row(text.split(delimiter), f"{where}, line {number}", first=not rows)
        if rows and len(row) != len(rows[0]):
            raise ClientError(f"{where}, line {number}: {len(row)} columns, but {len(rows[0])} in the lines before it.")
        rows.append(row)
    return numpy.array(rows, dtype=numpy.float32)


def _row(fields: list[bytes], where: str, *, first: bool) -> list[float]:
    row = [_field(field, where, first=first) for field in fields]
    if not math.isfinite(row[0]):
        raise ClientError(f"{where}: the label, which is the first column, is missing or not finite.")
    return row


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
    if abs(value) > 3.4028235e38:  # the largest 32-bit float; the library computes with those
        raise ClientError(f"{where}: {text[:40].decode()} is infinite or too large for a 32-bit number.")
    return value
