"""RecordIO-protobuf channels: dense or sparse vectors with a label each. The message is record.py's, the framing recordio.py's."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from kenja_worker.algorithms.channels import record, recordio
from kenja_worker.algorithms.channels.files import BLOCK, Source
from kenja_worker.algorithms.channels.libsvm import sparse
from kenja_worker.algorithms.channels.record import RecordError, Tensor
from kenja_worker.algorithms.channels.table import Growing, Table
from kenja_worker.algorithms.errors import ClientError

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

_NAME = "values"  # the only feature and the only label that a table has
_FEWEST = 16  # records that are looked at together first; twice as many while they are alike
_APART = 64  # records that are read one by one after two unlike ones


def read(sources: Iterable[Source], *, labelled: bool = True) -> Table:
    """A dense table, or a sparse one as wide as the widest record says. Raises ClientError that names file and record.

    Without `labelled`, records need no label, and theirs are 0.
    """
    rows = _Rows(labelled)
    for source in sources:
        before = len(rows)
        _read_one(source, rows)
        if len(rows) == before:
            raise ClientError(f"{source.where} is empty.")
    return rows.table()


class _Rows:
    """What was read so far: dense or sparse, never both."""

    def __init__(self, labelled: bool) -> None:
        self._labelled = labelled
        self._labels = Growing("float32")
        self._dense: Growing | None = None
        self._counts, self._keys, self._values = Growing("int64"), Growing("int32"), Growing("float32")
        self._width = 0

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, data: bytes, where: str) -> tuple[Tensor, Tensor | None]:
        """One record. Its feature and label tensors."""
        try:
            features, labels = record.decode(data)
        except RecordError as error:
            raise ClientError(f"{where}: {error}.") from None
        vector, label = features.get(_NAME), labels.get(_NAME)
        if vector is None:
            raise ClientError(f"{where} has no features named '{_NAME}'.")
        if self._labelled and (label is None or label.values.size != 1):
            given = "no label" if label is None else f"{label.values.size} labels"
            raise ClientError(f"{where} has {given}; one named '{_NAME}' is needed.")
        self._labels.append(_finite(label.values, f"{where}: its label") if self._labelled and label else _zeros(1))
        if vector.is_sparse:
            self._add_sparse(vector, where)
        else:
            self.add_dense(vector.values.reshape(1, -1), where)
        return vector, label

    def add_alike(self, features: Array, labels: Array | None, where: str) -> None:
        """Dense records of one width at once."""
        self._labels.append(
            _finite(labels, f"{where}: one of their labels") if labels is not None else _zeros(len(features))
        )
        self.add_dense(features, where)

    def add_dense(self, features: Array, where: str) -> None:
        if len(self._counts):
            raise ClientError(
                f"{where} is dense, the records before it are sparse; a channel must be one or the other."
            )
        if self._dense is None:
            if not features.shape[1]:
                raise ClientError(f"{where} has no values.")
            self._dense = Growing("float32", features.shape[1])
        if features.shape[1] != self._dense.columns:
            raise ClientError(
                f"{where} has {features.shape[1]} values, the records before it have {self._dense.columns}."
            )
        self._dense.append(_no_infinity(features, where))

    def _add_sparse(self, vector: Tensor, where: str) -> None:
        if self._dense is not None:
            raise ClientError(
                f"{where} is sparse, the records before it are dense; a channel must be one or the other."
            )
        assert vector.keys is not None
        keys = vector.keys
        width = vector.shape[0] if vector.shape else 0
        highest = int(keys.max()) + 1 if keys.size else 0
        if highest > (width or 2**31 - 1):
            raise ClientError(f"{where} has the key {highest - 1}; its shape is {list(vector.shape)}.")
        self._width = max(self._width, width, highest)
        self._counts.append(_zeros(1) + keys.size)
        self._keys.append(keys)
        self._values.append(_no_infinity(vector.values, where))

    def table(self) -> Table:
        import numpy

        if self._dense is not None:
            return Table(self._dense.whole(), self._labels.whole())
        starts = numpy.concatenate([[0], numpy.cumsum(self._counts.whole())])
        return Table(sparse(self._values.whole(), self._keys.whole(), starts, self._width), self._labels.whole())


def _read_one(source: Source, rows: _Rows) -> None:
    """Records one by one, and many at once where they are alike, as those of a dense table are."""
    number = 1  # of the next record
    for block in _blocks(source.stream, source.where):
        place = patience = 0
        while place < len(block):
            stride = recordio.extent(block, place, source.where) - place
            data = next(recordio.records(io.BytesIO(block[place : place + stride]), source.where, number))
            vector, label = rows.add(data, f"{source.where}, record {number}")
            place += stride
            number += 1
            patience -= 1
            if patience > 0 or vector.is_sparse:
                continue
            alike = _alike(block, place - stride, stride, vector, label)
            if alike is None:
                patience = _APART
                continue
            features, labels = alike
            rows.add_alike(features, labels, f"{source.where}, records {number} to {number + len(features) - 1}")
            place += stride * len(features)
            number += len(features)


def _alike(
    block: bytes, first: int, stride: int, vector: Tensor, label: Tensor | None
) -> tuple[Array, Array | None] | None:
    """Features and labels of the records behind the first that differ from it in their numbers only; None for none."""
    import numpy

    tensors = [tensor for tensor in (vector, label) if tensor is not None]
    if any(tensor.place < 0 for tensor in tensors):
        return None
    present = (len(block) - first) // stride
    table = numpy.frombuffer(block, dtype=numpy.uint8, count=present * stride, offset=first).reshape(present, stride)
    fixed = numpy.ones(stride, dtype=bool)
    spans = [(recordio.HEAD.size + tensor.place, tensor.values.nbytes) for tensor in tensors]
    for start, size in spans:
        fixed[start : start + size] = False
    checked, size = 1, _FEWEST
    while checked < present:
        same = (table[checked : checked + size, fixed] == table[0, fixed]).all(axis=1)
        good = len(same) if same.all() else int(same.argmin())
        checked += good
        if good < len(same):
            break
        size *= 2
    if checked == 1:
        return None
    columns = [
        numpy.ascontiguousarray(table[1:checked, start : start + size]).view(tensor.values.dtype)
        for tensor, (start, size) in zip(tensors, spans, strict=True)
    ]
    return columns[0], columns[1][:, 0] if label is not None else None


def _blocks(stream: BinaryIO, where: str) -> Iterator[bytes]:
    """Pieces of whole records, each of about BLOCK bytes. Raises ClientError for what is no RecordIO."""
    rest = b""
    while data := stream.read(BLOCK):
        data = rest + data
        end = _whole(data, where)
        if end:
            yield data[:end]
        rest = data[end:]
    if rest:
        raise ClientError(f"{where} ends within a record: {len(rest)} bytes are left over.")


def _whole(data: bytes, where: str) -> int:
    """Bytes of the whole records at the beginning."""
    place = 0
    while end := recordio.extent(data, place, where):
        place = end
    return place


def _finite(numbers: Array, what: str) -> Array:
    import numpy

    with numpy.errstate(over="ignore"):
        found = numbers.astype(numpy.float32)
    if not numpy.isfinite(found).all():
        raise ClientError(f"{what} is not a finite 32-bit number.")
    return found


def _no_infinity(numbers: Array, where: str) -> Array:
    import numpy

    with numpy.errstate(over="ignore"):
        found = numbers.astype(numpy.float32)
    if numpy.isinf(found).any():
        raise ClientError(f"{where}: a value is infinite or too large for a 32-bit number.")
    return found


def _zeros(count: int) -> Array:
    import numpy

    return numpy.zeros(count, dtype=numpy.float32)
