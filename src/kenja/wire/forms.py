"""Forms (`A.B.1=x`) to request values, for the query and ec2 protocols. One closure per shape; the bytes are read elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from kenja.wire import scalars
from kenja.wire.errors import Malformed
from kenja.wire.shapes import cache_key, later, query_name

MAX_PARTS = 64  # names in one dotted parameter; the deepest modelled one has about ten

Node = Any  # a parameter's text, or a dict of the parameters below it
Convert = Callable[[Node], Any]


class FormCompiler:
    """Grown forms to values, one closure per shape. Thread-safe. Another protocol overrides `keys` and `numbered`."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._readers: dict[tuple[Any, ...], Convert] = {}

    def reader(self, shape: Shape) -> Convert:
        """Node to value; raises Malformed."""
        with self._lock:
            return self._read(shape)

    def _read(self, shape: Shape) -> Convert:
        key = cache_key(shape)
        found = self._readers.get(key)
        if found is None:
            self._readers[key] = later(self._readers, key)
            compilers = {"structure": self._structure, "list": self._list, "map": self._map}
            found = self._readers[key] = compilers.get(shape.type_name, _scalar)(shape)
        return found

    def keys(self, member: Shape, name: str) -> tuple[str, ...]:
        """The names that a structure's member may have in a parameter."""
        key = query_name(member, name)
        if member.type_name == "list" and member.serialization.get("flattened"):
            return (query_name(member.member, key),)
        return (key,)

    def numbered(self, shape: ListShape) -> Callable[[Node], dict[str, Node]]:
        """From a list's node to its numbered items."""
        if shape.serialization.get("flattened"):
            return below
        tag = query_name(shape.member, "member")

        def find(node: Node) -> dict[str, Node]:
            items = below(node)
            return below(items.get(tag, items.get("member", "")))

        return find

    def _structure(self, shape: StructureShape) -> Convert:
        fields = {
            key: (name, self._read(member)) for name, member in shape.members.items() for key in self.keys(member, name)
        }

        def read(node: Node) -> dict[str, Any]:
            result = {}
            for key, item in below(node).items():
                if key in fields:
                    name, convert = fields[key]
                    try:
                        result[name] = convert(item)
                    except Malformed as problem:
                        raise problem.under(key) from None
            return result

        return read

    def _list(self, shape: ListShape) -> Convert:
        convert, numbered = self._read(shape.member), self.numbered(shape)
        return lambda node: [convert(item) for item in _in_order(numbered(node))]

    def _map(self, shape: MapShape) -> Convert:
        read_key, read_value = self._read(shape.key), self._read(shape.value)
        key_tag, value_tag = query_name(shape.key, "key"), query_name(shape.value, "value")
        flattened = shape.serialization.get("flattened")

        def read(node: Node) -> dict[str, Any]:
            entries = below(node)
            if not flattened:
                entries = below(entries.get("entry", ""))
            result = {}
            for entry in _in_order(entries):
                pair = below(entry)
                if key_tag not in pair or value_tag not in pair:
                    raise Malformed(f"An entry of a map needs .{key_tag} and .{value_tag}.")
                result[read_key(pair[key_tag])] = read_value(pair[value_tag])
            return result

        return read


def grow(form: list[tuple[str, str]]) -> dict[str, Node]:
    """`A.B.1=x` to `{"A": {"B": {"1": "x"}}}`."""
    root: dict[str, Node] = {}
    for name, text in form:
        *parents, last = name.split(".", MAX_PARTS)
        node = root
        for part in parents:
            deeper = node.setdefault(part, {})
            if deeper == "":
                deeper = node[part] = {}
            if not isinstance(deeper, dict):
                raise Malformed(f"'{name:.100}' lies below a parameter that has a value of its own.")
            node = deeper
        if isinstance(node.get(last), dict):
            raise Malformed(f"'{name:.100}' has both a value and parameters below it.")
        node[last] = text
    return root


def below(node: Node) -> dict[str, Node]:
    """The parameters below this one; an empty value stands for none."""
    if isinstance(node, dict):
        return node
    if node == "":
        return {}
    raise Malformed(f"Expected numbered or named parameters below this one, found '{node:.40}'.")


def _in_order(items: dict[str, Node]) -> list[Node]:
    if not all(key.isascii() and key.isdigit() and len(key) <= 9 for key in items):
        raise Malformed("The members of a list are numbered 1, 2, 3 …")
    return [items[key] for key in sorted(items, key=int)]


def _scalar(shape: Shape) -> Convert:
    convert = scalars.reader(shape)

    def read(node: Node) -> Any:
        if not isinstance(node, str):
            raise Malformed("Expected one value, found parameters below it.")
        return convert(node)

    return read
