"""AWS Query: a form in, XML out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import RLock
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from kenja.wire import scalars
from kenja.wire.codec import Codec, Reader, Writer
from kenja.wire.errors import Malformed
from kenja.wire.message import Request, Response
from kenja.wire.shapes import cache_key, later, query_name
from kenja.wire.xmltree import XmlCompiler, escape, prose

MAX_PARTS = 64  # names in one dotted parameter; the deepest modelled one has about ten

Node = Any  # a parameter's text, or a dict of the parameters below it
Convert = Callable[[Node], Any]


class QueryCodec(Codec):
    """Form in the body, or in the query string of a GET."""

    def __init__(self, model: ServiceModel, version: str = "") -> None:
        super().__init__(model, version)
        self._forms = FormCompiler()
        self._xml = XmlCompiler(query_name)
        self._names = frozenset(model.operation_names)
        self._namespace = escape(model.metadata.get("xmlNamespace", ""))

    def route(self, request: Request) -> tuple[str, dict[str, str]] | None:
        name = next((value for key, value in request.form() if key == "Action"), "")
        return (name, {}) if name in self._names else None

    def reader(self, operation: OperationModel) -> Reader:
        if operation.input_shape is None:
            return lambda request, path_parameters: {}
        convert = self._forms.reader(operation.input_shape)

        def read(request: Request, path_parameters: Mapping[str, str]) -> dict[str, Any]:
            found: dict[str, Any] = convert(grow(request.form()))
            return found

        return read

    def writer(self, operation: OperationModel) -> Writer:
        name, shape = operation.name, operation.output_shape
        start = f'<{name}Response xmlns="{self._namespace}">'
        body = None
        if shape is not None:
            body = self._xml.writer(shape, shape.serialization.get("resultWrapper", f"{name}Result"))

        def write(result: Mapping[str, Any], request_id: str) -> Response:
            out = [start]
            if body is not None:
                body(result, out)
            out.append(f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>")
            return _response(200, out, request_id)

        return write

    def error(
        self,
        code: str,
        message: str,
        *,
        fields: Mapping[str, Any] | None = None,
        status: int | None = None,
        request_id: str = "",
        operation: str | None = None,
        method: str = "",
    ) -> Response:
        fault = self.faults.find(code, status)
        kind = "Sender" if fault.sender else "Receiver"
        out = [
            f'<ErrorResponse xmlns="{self._namespace}"><Error><Type>{kind}</Type><Code>{escape(fault.code)}</Code>',
            f"<Message>{prose(message)}</Message>",
        ]
        for name, value in (fields or {}).items():
            member = fault.shape.members.get(name) if fault.shape is not None else None
            if member is not None and value is not None and name.lower() != "message":
                self._xml.writer(member, query_name(member, name))(value, out)
        out.append(f"</Error><RequestId>{request_id}</RequestId></ErrorResponse>")
        return _response(fault.status, out, request_id)


class FormCompiler:
    """Grown forms to values, one closure per shape. Thread-safe."""

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

    def member_key(self, member: Shape, name: str) -> str:
        """The name of a structure's member in a parameter."""
        key = query_name(member, name)
        if member.type_name == "list" and member.serialization.get("flattened"):
            return query_name(member.member, key)
        return key

    def _structure(self, shape: StructureShape) -> Convert:
        fields = {self.member_key(member, name): (name, self._read(member)) for name, member in shape.members.items()}

        def read(node: Node) -> dict[str, Any]:
            result = {}
            for key, below in _below(node).items():
                if key in fields:
                    name, convert = fields[key]
                    try:
                        result[name] = convert(below)
                    except Malformed as problem:
                        raise problem.under(key) from None
            return result

        return read

    def _list(self, shape: ListShape) -> Convert:
        convert = self._read(shape.member)
        flattened, tag = shape.serialization.get("flattened"), query_name(shape.member, "member")

        def read(node: Node) -> list[Any]:
            items = _below(node)
            if not flattened:
                items = _below(items.get(tag, items.get("member", "")))
            return [convert(item) for item in _in_order(items)]

        return read

    def _map(self, shape: MapShape) -> Convert:
        read_key, read_value = self._read(shape.key), self._read(shape.value)
        key_tag, value_tag = query_name(shape.key, "key"), query_name(shape.value, "value")
        flattened = shape.serialization.get("flattened")

        def read(node: Node) -> dict[str, Any]:
            entries = _below(node)
            if not flattened:
                entries = _below(entries.get("entry", ""))
            result = {}
            for entry in _in_order(entries):
                pair = _below(entry)
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
            below = node.setdefault(part, {})
            if below == "":
                below = node[part] = {}
            if not isinstance(below, dict):
                raise Malformed(f"'{name:.100}' lies below a parameter that has a value of its own.")
            node = below
        if isinstance(node.get(last), dict):
            raise Malformed(f"'{name:.100}' has both a value and parameters below it.")
        node[last] = text
    return root


def _below(node: Node) -> dict[str, Node]:
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


def _response(status: int, out: list[str], request_id: str) -> Response:
    headers = {"content-type": "text/xml", "x-amzn-requestid": request_id}
    return Response(status, headers, "".join(out).encode())


CODEC = QueryCodec
