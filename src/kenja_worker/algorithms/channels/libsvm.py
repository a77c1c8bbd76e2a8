"""libsvm text: `label[:weight] [qid:query] index:value …`, indices from 0 on as XGBoost reads them. Text in, a sparse table out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.channels.csv import MAX_FLOAT
from kenja_worker.algorithms.channels.files import Source, lines
from kenja_worker.algorithms.channels.table import Growing, Table
from kenja_worker.algorithms.errors import ClientError

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

_NEWLINE, _SPACE, _COLON = b"\n :"
_MAX_INDEX = 2**31 - 1  # columns of a sparse matrix are numbered by signed 32-bit integers
_SPACES = bytes.maketrans(b":\n", b"  ")


@dataclass(frozen=True)
class Part:
    """Some lines as arrays. `heads`: what stands behind the label, a weight or a query; none where nothing does."""

    labels: Array  # (rows,) float32
    counts: Array  # (rows,) entries of each
    indices: Array  # (entries,) int32
    values: Array  # (entries,) float32
    weights: Array | None = None  # (rows,) float32
    queries: Array | None = None  # (rows,) int64


def read(sources: Iterable[Source]) -> Table:
    """A sparse table; its width is the largest index plus one. Raises ClientError that names file and line."""
    collected = _Rows()
    for source in sources:
        before = len(collected.labels)
        for data, first in lines(source):
            if data.strip():
                collected.add(parse(data, source.where, first), f"{source.where}, line {first}")
        if len(collected.labels) == before:
            raise ClientError(f"{source.where} is empty.")
    return collected.table()


def parse(data: bytes, where: str, first: int) -> Part:
    """Whole lines, of which the first has the number `first`. Raises ClientError that names the first wrong line."""
    return _quick(data) or _careful(data, where, first)


class _Rows:
    """The parts of all files, joined as they come."""

    def __init__(self) -> None:
        self.labels = Growing("float32")
        self._counts, self._indices, self._values = Growing("int64"), Growing("int32"), Growing("float32")
        self._weights, self._queries = Growing("float32"), Growing("int64")

    def add(self, part: Part, where: str) -> None:
        for name, found, known in (("weights", part.weights, self._weights), ("queries", part.queries, self._queries)):
            if len(self.labels) and (found is not None) != bool(len(known)):
                raise ClientError(f"{where}: some rows have {name} and some have none; all need them, or none.")
            if found is not None:
                known.append(found)
        self.labels.append(part.labels)
        self._counts.append(part.counts)
        self._indices.append(part.indices)
        self._values.append(part.values)

    def table(self) -> Table:
        import numpy

        indices = self._indices.whole()
        starts = numpy.concatenate([[0], numpy.cumsum(self._counts.whole())])
        width = int(indices.max()) + 1 if len(indices) else 1
        features = sparse(self._values.whole(), indices, starts, width)
        return Table(
            features,
            self.labels.whole(),
            self._weights.whole() if len(self._weights) else None,
            _runs(self._queries.whole()) if len(self._queries) else None,
        )


def sparse(values: Array, indices: Array, starts: Array, width: int) -> Any:
    """A scipy CSR matrix of these parts, its rows in order of their columns."""
    import scipy.sparse

    matrix = scipy.sparse.csr_matrix((values, indices, starts), shape=(len(starts) - 1, width), copy=False)
    matrix.sort_indices()
    return matrix


def _runs(queries: Array) -> Array:
    """Groups as the library makes them: rows that follow one another with one query."""
    import numpy

    return numpy.concatenate([[0], numpy.cumsum(queries[1:] != queries[:-1])])


def _quick(data: bytes) -> Part | None:
    """The part, or None when anything at all is unusual: comments, two blanks in a row, indices out of order."""
    import numpy

    text = data.replace(b"\r", b"").replace(b" \n", b"\n")
    text = text if text.endswith(b"\n") else text.rstrip() + b"\n"
    queries = text.count(b" qid:")
    if queries:
        if queries != text.count(b"\n"):
            return None
        text = text.replace(b" qid:", b":")  # now a query stands where a weight would
    marks = numpy.frombuffer(text, dtype=numpy.uint8)
    places = numpy.flatnonzero((marks == _NEWLINE) | (marks == _SPACE) | (marks == _COLON))
    ends = marks[places]  # the mark behind each number
    if places[0] == 0 or (numpy.diff(places) == 1).any():
        return None
    before = numpy.concatenate([[_NEWLINE, _NEWLINE], ends[:-1]])  # the mark in front of each number, and one more
    label = before[1:] == _NEWLINE
    index = before[1:] == _SPACE
    colon = before[1:] == _COLON
    head = colon & (before[:-1] == _NEWLINE)
    value = colon & ~head
    heads, rows = int(head.sum()), int(label.sum())
    if (
        heads not in (0, rows)
        or (queries and not heads)
        or (ends[index] != _COLON).any()
        or (ends[colon] == _COLON).any()
    ):
        return None
    try:
        numbers = numpy.fromstring(text.translate(_SPACES), dtype=numpy.float64, sep=" ")
    except ValueError:
        return None
    if numbers.size != ends.size:
        return None
    return _checked(numbers, label, index, value, numbers[head] if heads else None, queries=bool(queries))


def _checked(
    numbers: Array, label: Array, index: Array, value: Array, heads: Array | None, *, queries: bool
) -> Part | None:
    import numpy

    with numpy.errstate(over="ignore"):
        part = Part(
            labels=numbers[label].astype(numpy.float32),
            counts=numpy.bincount((numpy.cumsum(label) - 1)[index], minlength=int(label.sum())),
            indices=numpy.empty(0),
            values=numbers[value].astype(numpy.float32),
        )
    indices = numbers[index]
    whole = not indices.size or (
        indices.min() >= 0 and indices.max() <= _MAX_INDEX and (indices == indices.round()).all()
    )
    if not whole or not numpy.isfinite(part.labels).all() or numpy.isinf(part.values).any():
        return None
    starts = numpy.cumsum(part.counts)[:-1]
    rising = numpy.diff(indices) > 0
    if indices.size > 1:
        rising[starts[(starts > 0) & (starts < indices.size)] - 1] = True  # from one row to the next anything goes
    if not rising.all():
        return None
    weights = wanted = None
    if heads is not None and queries:
        wanted = heads.astype(numpy.int64)
        if (wanted != heads).any():
            return None
    elif heads is not None:
        weights = heads.astype(numpy.float32)
        if not (numpy.isfinite(weights).all() and (weights >= 0).all()):
            return None
    return Part(part.labels, part.counts, indices.astype(numpy.int32), part.values, weights, wanted)


def _careful(data: bytes, where: str, start: int) -> Part:
    """The part, line by line. Raises ClientError at the first line that is not in order."""
    import numpy

    rows: list[_Row] = []
    for number, line in enumerate(data.split(b"\n"), start=start):
        fields = line.partition(b"#")[0].split()
        if not fields:
            continue
        row = _row(fields, f"{where}, line {number}")
        for name in ("weight", "query"):
            if rows and (getattr(row, name) is None) != (getattr(rows[0], name) is None):
                raise ClientError(f"{where}, line {number}: some rows have a {name} and some have none.")
        rows.append(row)
    with_weights = bool(rows) and rows[0].weight is not None
    with_queries = bool(rows) and rows[0].query is not None
    return Part(
        labels=numpy.array([row.label for row in rows], dtype=numpy.float32),
        counts=numpy.array([len(row.entries) for row in rows], dtype=numpy.int64),
        indices=numpy.array([index for row in rows for index in row.entries], dtype=numpy.int32),
        values=numpy.array([value for row in rows for value in row.entries.values()], dtype=numpy.float32),
        weights=numpy.array([row.weight for row in rows], dtype=numpy.float32) if with_weights else None,
        queries=numpy.array([row.query for row in rows], dtype=numpy.int64) if with_queries else None,
    )


@dataclass(frozen=True)
class _Row:
    label: float
    weight: float | None
    query: int | None
    entries: dict[int, float]


def _row(fields: list[bytes], where: str) -> _Row:
    label, colon, weight = fields[0].partition(b":")
    first = 1
    query = None
    if len(fields) > 1 and fields[1].startswith(b"qid:"):
        query = _index(fields[1][4:], where, "query")
        first = 2
    entries: dict[int, float] = {}
    for field in fields[first:]:
        name, separator, text = field.partition(b":")
        if not separator:
            raise ClientError(
                f"{where}: '{_shown(field)}' is not index:value; a line is label index:value index:value …"
            )
        index = _index(name, where, "index")
        if index in entries:
            raise ClientError(f"{where}: the index {index} stands twice.")
        entries[index] = _number(text, where, missing=True)
    heavy = _number(weight, where) if colon else None
    if heavy is not None and heavy < 0:
        raise ClientError(f"{where}: the weight {heavy:g} is negative.")
    return _Row(_number(label, where), heavy, query, entries)


def _number(text: bytes, where: str, *, missing: bool = False) -> float:
    """A 32-bit number; nan is one where a value may be missing."""
    try:
        value = float(text.replace(b"_", b"?"))  # Python alone reads 1_000 as a number
    except ValueError:
        raise ClientError(f"{where}: '{_shown(text)}' is not a number.") from None
    if (math.isnan(value) and not missing) or abs(value) > MAX_FLOAT:
        raise ClientError(f"{where}: '{_shown(text)}' is not a finite 32-bit number.")
    return value


def _index(text: bytes, where: str, what: str) -> int:
    if not text.isdigit() or int(text) > _MAX_INDEX:
        raise ClientError(f"{where}: '{_shown(text)}' is no {what}, which is a whole number from 0 to {_MAX_INDEX}.")
    return int(text)


def _shown(text: bytes) -> str:
    return text[:40].decode("utf-8", "backslashreplace")
