"""CBOR (RFC 8949) to and from request and result values, as Smithy's RPC v2 protocol uses it. No HTTP here."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime
from typing import Any

import cbor2
from botocore.model import MapShape, Shape

from kenja.wire import timestamps
from kenja.wire.errors import Malformed
from kenja.wire.tree import MAX_DEPTH, Convert, TreeCompiler, wrong_type

EPOCH = 1  # the tag of a timestamp in seconds (RFC 8949, section 3.4.2)

# Tags that cbor2 gives a meaning to. The protocol has timestamps only; shared references (28, 29) would let a few bytes
# stand for a tree of any size, regular expressions and mail messages (35, 36) would be parsed before anyone asked.
_REFUSED = (0, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
_UNDEFINED = b"\xf7"


def load(data: bytes) -> Any:
    """One CBOR item to a tree, timestamps as datetimes; an empty body stands for an empty map. Raises Malformed."""
    if not data:
        return {}
    stream = io.BytesIO(data)
    try:
        value = cbor2.CBORDecoder(
            stream, semantic_decoders=_DECODERS, max_depth=MAX_DEPTH, strict_hashable_types=True
        ).decode()
    except cbor2.CBORDecodeError as problem:
        raise Malformed(f"The body is not valid CBOR: {problem}.") from None
    if stream.tell() != len(data):
        raise Malformed("Data follow the CBOR document of the body.")
    return _defined(value) if _UNDEFINED in data else value


def dump(tree: Any) -> bytes:
    """A tree to CBOR."""
    return cbor2.dumps(tree)


class CborCompiler(TreeCompiler):
    """Blobs are byte strings, timestamps are tagged, numbers are never text; `timestampFormat` has no say."""

    def _read_map(self, shape: MapShape, body: bool) -> Convert:
        convert = self._read(shape.value)

        def read(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise wrong_type(value, "a map")
            result = {}
            for key, item in value.items():
                if type(key) is not str:
                    raise wrong_type(key, "text as a key")
                result[key] = item if item is None else convert(item)
            return result

        return read

    def _read_double(self, shape: Shape, body: bool) -> Convert:
        return _number

    _read_float = _read_double

    def _read_timestamp(self, shape: Shape, body: bool) -> Convert:
        return _moment

    def _read_blob(self, shape: Shape, body: bool) -> Convert:
        return _bytes

    def _write_double(self, shape: Shape, body: bool) -> Convert | None:
        return float

    _write_float = _write_double

    def _write_timestamp(self, shape: Shape, body: bool) -> Convert | None:
        return _epoch

    def _write_blob(self, shape: Shape, body: bool) -> Convert | None:
        return _blob


def _refuse(decoder: Any) -> Any:
    raise ValueError("of all tags only timestamps in epoch seconds are taken")


_DECODERS: dict[int, Callable[[Any], Any]] = dict.fromkeys(_REFUSED, _refuse)


def _defined(value: Any) -> Any:
    """`undefined` is read as null (Smithy RPC v2 CBOR, "null and undefined"). The tree's depth is bounded by `load`."""
    if type(value) is dict:
        return {key: _defined(item) for key, item in value.items()}
    if type(value) is list:
        return [_defined(item) for item in value]
    return None if value is cbor2.undefined else value


def _number(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise wrong_type(value, "a number")
    try:
        return float(value)
    except OverflowError:
        raise Malformed("The number is too large.") from None


def _moment(value: Any) -> datetime:
    if type(value) is datetime:
        return value
    if type(value) is float or type(value) is int:
        return timestamps.from_number(value)
    raise wrong_type(value, "a timestamp")


def _bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise wrong_type(value, "bytes")
    return value


def _blob(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


_seconds = timestamps.writer("unixTimestamp")


def _epoch(value: Any) -> cbor2.CBORTag:
    """Milliseconds at most, as every protocol writes them."""
    return cbor2.CBORTag(EPOCH, _seconds(timestamps.from_text(value) if isinstance(value, str) else value))
