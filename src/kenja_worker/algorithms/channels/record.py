"""SageMaker's protobuf Record: tensors by name, of features and labels. Bytes in, arrays out, and back. No framing, no files.

The message is record.proto of AWS's guide ("Common data formats for training"), written in proto2; only what numbers need is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf's wire types that occur
_FEATURES, _LABEL = 1, 2  # fields of Record
_KEY, _VALUE = 1, 2  # of an entry of its maps
FLOAT32, FLOAT64, INT32, RAW = 2, 3, 7, 9  # of Value
_VALUES, _KEYS, _SHAPE = 1, 2, 3  # of a tensor
_TYPES = {FLOAT32: "<f4", FLOAT64: "<f8"}


class RecordError(ValueError):
    """The bytes are no Record of numbers; the message says what is wrong."""


@dataclass(frozen=True)
class Tensor:
    """Numbers, dense; or, with keys, those of a sparse vector at these places."""

    values: Array
    keys: Array | None = None
    shape: tuple[int, ...] = ()
    place: int = -1  # of the values within the record's bytes, where they lie in one piece

    @property
    def is_sparse(self) -> bool:
        return self.keys is not None


Tensors = Mapping[str, Tensor]


def decode(data: bytes) -> tuple[Tensors, Tensors]:
    """Features and labels by name. Raises RecordError."""
    maps: dict[int, dict[str, Tensor]] = {_FEATURES: {}, _LABEL: {}}
    for field, wire, start, end in _fields(data, 0, len(data)):
        if field in maps and wire == _BYTES:
            name, tensor = _entry(data, start, end)
            maps[field][name] = tensor
    return maps[_FEATURES], maps[_LABEL]


def _entry(data: bytes, start: int, end: int) -> tuple[str, Tensor]:
    name = ""
    tensor: Tensor | None = None
    for field, wire, first, last in _fields(data, start, end):
        if field == _KEY and wire == _BYTES:
            name = data[first:last].decode("utf-8", "replace")
        elif field == _VALUE and wire == _BYTES:
            tensor = _value(data, first, last)
    if tensor is None:
        raise RecordError(f"the entry '{name}' has no value")
    return name, tensor


def _value(data: bytes, start: int, end: int) -> Tensor:
    for field, wire, first, last in _fields(data, start, end):
        if wire == _BYTES and field in (FLOAT32, FLOAT64, INT32):
            return _tensor(data, first, last, field)
        if field == RAW:
            raise RecordError("it holds bytes, such as an image, where numbers are needed")
    raise RecordError("a value has none of the known types: float32, float64 or int32 tensor")


def _tensor(data: bytes, start: int, end: int, kind: int) -> Tensor:
    import numpy

    values: list[Array] = []
    keys: list[Array] = []
    shape: list[Array] = []
    place = -1
    for field, wire, first, last in _fields(data, start, end):
        if field == _VALUES and kind != INT32:
            if (last - first) % numpy.dtype(_TYPES[kind]).itemsize:
                raise RecordError("a number is cut off")
            piece = numpy.frombuffer(data[first:last], dtype=_TYPES[kind])
            place = first if wire == _BYTES and not values else -1
            values.append(piece)
        elif field == _VALUES:
            values.append(_varints(data, first, last).astype(numpy.int64).astype(numpy.int32))
        elif field == _KEYS:
            keys.append(_varints(data, first, last))
        elif field == _SHAPE:
            shape.append(_varints(data, first, last))
    numbers = _joined(values)
    size = tuple(int(one) for one in _joined(shape))
    where = _joined(keys) if keys or (size and numbers.size != numpy.prod(size)) else None
    if where is not None and where.size != numbers.size:
        raise RecordError(f"a sparse tensor has {numbers.size} values and {where.size} keys")
    return Tensor(numbers, where, size, place)


def _joined(pieces: list[Array]) -> Array:
    import numpy

    return pieces[0] if len(pieces) == 1 else numpy.concatenate(pieces) if pieces else numpy.zeros(0)


def _varints(data: bytes, start: int, end: int) -> Array:
    """Packed varints, or one alone. (numbers,) uint64."""
    import numpy

    piece = numpy.frombuffer(data[start:end], dtype=numpy.uint8)
    ends = numpy.flatnonzero(piece < 0x80)
    if not piece.size or not ends.size or ends[-1] != piece.size - 1:
        raise RecordError("a number is cut off")
    if ends.size == piece.size:
        return piece.astype(numpy.uint64)
    starts = numpy.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 10:
        raise RecordError("a number has more than ten bytes")
    numbers = numpy.zeros(ends.size, dtype=numpy.uint64)
    for place in range(int(lengths.max())):
        chosen = lengths > place
        bits = (piece[starts[chosen] + place] & 0x7F).astype(numpy.uint64)
        numbers[chosen] |= bits << numpy.uint64(7 * place)
    return numbers


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(field, wire type, first byte, byte behind the last) of a message. Raises RecordError."""
    place = start
    while place < end:
        tag, place = _varint(data, place, end)
        wire = tag & 7
        first = place
        match wire:
            case 0:
                _, place = _varint(data, place, end)
            case 1:
                place += 8
            case 2:
                size, first = _varint(data, place, end)
                place = first + size
            case 5:
                place += 4
            case _:
                raise RecordError(f"it is no protobuf message: wire type {wire}")
        if place > end:
            raise RecordError("it is cut off")
        yield tag >> 3, wire, first, place


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    number = shift = 0
    while place < end and shift < 70:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
    raise RecordError("a number is cut off")


def encode(features: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> bytes:
    """A Record of these tensors, as protobuf's own library writes it."""
    return b"".join(
        _piece(field, _piece(_KEY, name.encode()) + _piece(_VALUE, _encoded(tensor)))
        for field, tensors in ((_FEATURES, features), (_LABEL, labels))
        for name, tensor in tensors.items()
    )


def _encoded(tensor: Tensor) -> bytes:
    import numpy

    match tensor.values.dtype.kind, tensor.values.dtype.itemsize:
        case "f", 4:
            kind, numbers = FLOAT32, tensor.values.astype("<f4").tobytes()
        case "f", 8:
            kind, numbers = FLOAT64, tensor.values.astype("<f8").tobytes()
        case (("i" | "u" | "b"), _):
            kind = INT32
            numbers = b"".join(_as_varint(int(number)) for number in tensor.values.astype(numpy.int32))
        case other:
            raise TypeError(f"{other} is none of float32, float64 and int32")
    keys = b"" if tensor.keys is None else b"".join(_as_varint(int(key)) for key in tensor.keys)
    shape = b"".join(map(_as_varint, tensor.shape))
    pieces = ((_VALUES, numbers), (_KEYS, keys), (_SHAPE, shape))
    return _piece(kind, b"".join(_piece(field, piece) for field, piece in pieces if piece))


def _piece(field: int, data: bytes) -> bytes:
    return _as_varint(field << 3 | _BYTES) + _as_varint(len(data)) + data


def _as_varint(number: int) -> bytes:
    number &= 0xFFFFFFFFFFFFFFFF  # a negative int32 takes ten bytes in protobuf
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def dense(rows: Array, labels: Array | None = None) -> Iterator[bytes]:
    """Records of a dense table's rows, with their labels where there are some."""
    for number, row in enumerate(rows):
        yield encode({"values": Tensor(row)}, {} if labels is None else {"values": Tensor(labels[number : number + 1])})


def sparse(matrix: Any, labels: Array | None = None) -> Iterator[bytes]:
    """Records of a scipy CSR matrix's rows, with their labels where there are some."""
    rows, columns = matrix.shape
    for number in range(rows):
        part = slice(matrix.indptr[number], matrix.indptr[number + 1])
        tensor = Tensor(matrix.data[part], matrix.indices[part], (columns,))
        yield encode({"values": tensor}, {} if labels is None else {"values": Tensor(labels[number : number + 1])})
