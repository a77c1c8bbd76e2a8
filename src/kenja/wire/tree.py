"""Document trees (what JSON parses to) to and from request and result values. One closure per shape; no bytes here.

Sub-trees that need no conversion are returned as they are. A protocol with other scalars (CBOR) overrides the
`_read_…` and `_write_…` methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import RLock
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from kenja.wire import scalars, timestamps
from kenja.wire.errors import Malformed
from kenja.wire.faults import Fault
from kenja.wire.shapes import cache_key, fillers, is_document, is_recursive_or_free, later, outside_answer, wire_name

MAX_DEPTH = 100  # nested containers in shapes that the model does not bound

Convert = Callable[[Any], Any]


class TreeCompiler:
    """Compiles shapes of one service model. Thread-safe; `body` leaves out members that travel outside the body."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._readers: dict[tuple[Any, ...], Convert] = {}
        self._writers: dict[tuple[Any, ...], Convert | None] = {}

    def reader(self, shape: Shape, *, body: bool = False) -> Convert:
        """Tree to value; the whole of it is type-checked. Raises Malformed."""
        with self._lock:
            read = self._read(shape, body)
        if not is_recursive_or_free(shape):
            return read

        def read_bounded(value: Any) -> Any:
            check_depth(value)
            return read(value)

        return read_bounded

    def writer(self, shape: Shape, *, body: bool = False) -> Convert:
        """Value to tree; required members that are missing are filled."""
        with self._lock:
            return self._write(shape, body) or _same

    def error(
        self, fault: Fault, message: str, fields: Mapping[str, Any] | None, *, body: bool = False
    ) -> dict[str, Any]:
        """An error's tree: its message in the model's spelling, then its other members."""
        members = fault.members(message, fields)
        convert = self.writer(fault.shape, body=body) if fault.shape is not None else dict
        return {"Message" if "Message" in members else "message": message, **convert(members)}

    def _read(self, shape: Shape, body: bool = False) -> Convert:
        key = cache_key(shape, body)
        if key in self._readers:
            return self._readers[key]
        self._readers[key] = later(self._readers, key)
        compiled: Convert = getattr(self, f"_read_{shape.type_name}", self._read_string)(shape, body)
        self._readers[key] = compiled
        return compiled

    def _write(self, shape: Shape, body: bool = False) -> Convert | None:
        key = cache_key(shape, body)
        if key in self._writers:
            return self._writers[key]
        self._writers[key] = later(self._writers, key)
        compiled: Convert | None = getattr(self, f"_write_{shape.type_name}", self._write_string)(shape, body)
        self._writers[key] = compiled
        return compiled

    def _members(self, shape: StructureShape, body: bool, outside: Callable[[Shape], bool]) -> list[tuple[str, Shape]]:
        payload = shape.serialization.get("payload")
        return [
            (name, member)
            for name, member in shape.members.items()
            if not member.serialization.get("eventstream")
            and not member.serialization.get("eventheader")
            and not (body and (outside(member) or name == payload))
        ]

    # Reading

    def _read_structure(self, shape: StructureShape, body: bool) -> Convert:
        if is_document(shape):
            return _same
        fields: dict[str, tuple[str, type, Convert]] = {}
        for name, member in self._members(shape, body, _outside_request):
            fields[wire_name(member, name)] = (name, _PLAIN.get(member.type_name, Malformed), self._read(member))
        find = fields.get

        def read(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise wrong_type(value, "a structure")
            result = {}
            for key, item in value.items():
                field = find(key)
                if field is None or item is None:
                    continue
                if type(item) is field[1]:
                    result[field[0]] = item
                    continue
                try:
                    result[field[0]] = field[2](item)
                except Malformed as problem:
                    raise problem.under(key) from None
            return result

        return read

    def _read_list(self, shape: ListShape, body: bool) -> Convert:
        plain, convert = _PLAIN.get(shape.member.type_name), self._read(shape.member)

        def read(value: Any) -> list[Any]:
            if type(value) is not list:
                raise wrong_type(value, "a list")
            if plain is None:
                return [item if item is None else convert(item) for item in value]
            for item in value:
                if type(item) is not plain and item is not None:
                    convert(item)
            return value

        return read

    def _read_map(self, shape: MapShape, body: bool) -> Convert:
        plain, convert = _PLAIN.get(shape.value.type_name), self._read(shape.value)

        def read(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise wrong_type(value, "a map")
            if plain is None:
                return {key: item if item is None else convert(item) for key, item in value.items()}
            for item in value.values():
                if type(item) is not plain and item is not None:
                    convert(item)
            return value

        return read

    def _read_string(self, shape: Shape, body: bool) -> Convert:
        return _text

    def _read_boolean(self, shape: Shape, body: bool) -> Convert:
        return _boolean

    def _read_integer(self, shape: Shape, body: bool) -> Convert:
        kind = shape.type_name

        def read(value: Any) -> int:
            if type(value) is float and value.is_integer():
                value = int(value)
            if type(value) is not int:
                raise wrong_type(value, f"a {'long' if kind == 'long' else 'whole'} number")
            return scalars.check_integer(value, kind)

        return read

    _read_long = _read_integer

    def _read_double(self, shape: Shape, body: bool) -> Convert:
        return _float

    _read_float = _read_double

    def _read_timestamp(self, shape: Shape, body: bool) -> Convert:
        return _timestamp

    def _read_blob(self, shape: Shape, body: bool) -> Convert:
        return _blob

    # Writing; None stands for "as it is"

    def _write_structure(self, shape: StructureShape, body: bool) -> Convert | None:
        if is_document(shape):
            return None
        members = self._members(shape, body, outside_answer)
        fields = {name: (wire_name(member, name), self._write(member)) for name, member in members}
        present = dict(members)
        required = [
            (*fields[name], value) for name, value in fillers(shape).items() if name in present
        ]  # (wire name, writer, neutral value)
        find = fields.get

        def write(value: Any) -> dict[str, Any]:
            result = {}
            for key, item in value.items():
                field = find(key)
                if field is not None and item is not None:
                    convert = field[1]
                    result[field[0]] = item if convert is None else convert(item)
            for name, convert, neutral in required:
                if name not in result:
                    result[name] = neutral if convert is None else convert(neutral)
            return result

        return write

    def _write_list(self, shape: ListShape, body: bool) -> Convert | None:
        convert = self._write(shape.member)
        if convert is None:
            return None
        return lambda value: [item if item is None else convert(item) for item in value]

    def _write_map(self, shape: MapShape, body: bool) -> Convert | None:
        convert = self._write(shape.value)
        if convert is None:
            return None
        return lambda value: {key: item if item is None else convert(item) for key, item in value.items()}

    def _write_string(self, shape: Shape, body: bool) -> Convert | None:
        return None

    def _write_double(self, shape: Shape, body: bool) -> Convert | None:
        return _finite

    _write_float = _write_double

    def _write_timestamp(self, shape: Shape, body: bool) -> Convert | None:
        return timestamps.writer(shape.serialization.get("timestampFormat", "unixTimestamp"))

    def _write_blob(self, shape: Shape, body: bool) -> Convert | None:
        return scalars.to_base64


def wrong_type(value: Any, wanted: str) -> Malformed:
    """Says what came and what belongs there."""
    names = {str: "text", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "a structure"}
    return Malformed(f"Expected {wanted}, found {names.get(type(value), 'null' if value is None else 'other data')}.")


def check_depth(value: Any) -> None:
    """Refuses what nests deeper than any service takes; without recursion."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise Malformed(f"The document is nested more than {MAX_DEPTH} levels deep.")
        deeper: list[Any] = []
        for item in level:
            if type(item) is dict:
                deeper.extend(child for child in item.values() if type(child) in (dict, list))
            elif type(item) is list:
                deeper.extend(child for child in item if type(child) in (dict, list))
        level = deeper


def _outside_request(shape: Shape) -> bool:
    return "location" in shape.serialization


def _same(value: Any) -> Any:
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise wrong_type(value, "text")
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise wrong_type(value, "a boolean")
    return value


def _float(value: Any) -> float:
    if type(value) is float or type(value) is int:
        return float(value)
    if type(value) is str and value in scalars.SPECIAL_FLOATS:
        return scalars.SPECIAL_FLOATS[value]
    raise wrong_type(value, "a number")


def _finite(value: Any) -> Any:
    number = float(value)
    return number if number - number == 0 else scalars.float_text(number)


def _timestamp(value: Any) -> Any:
    if type(value) is float or type(value) is int:
        return timestamps.from_number(value)
    if type(value) is str:
        return timestamps.from_text(value)
    raise wrong_type(value, "a timestamp")


def _blob(value: Any) -> bytes:
    return scalars.from_base64(_text(value))


_PLAIN: dict[str, type] = {"string": str, "character": str, "boolean": bool}  # what needs no conversion, only a check
