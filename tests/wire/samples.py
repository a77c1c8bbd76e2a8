"""Values made from shapes, the same every time, and botocore's own client side to send and read them. No tests here."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any
from urllib.parse import urlsplit

from botocore import parsers, serialize
from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.model import OperationModel, Shape

from kenja.wire import Request, Response, patterns
from tests.common.strings import matching

CLIENT_PROTOCOLS = {"json-1.0": "json", "json-1.1": "json"}
MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789000, UTC)
BLOB = b"\x00\xff blob"
DEPTH = 4  # levels of a shape that contains itself


class Sample:
    """Makes values that satisfy a shape's constraints, the same ones for the same `name`.

    `full` sets every member, else only those that are required. Which member of a union is set depends on the name.
    """

    def __init__(self, name: str, *, full: bool = True) -> None:
        self._random = Random(name)
        self._full = full

    def value(self, shape: Shape, name: str = "x", parents: tuple[str, ...] = (), *, plain: bool = False) -> Any:
        """A value of the shape; `plain`: only characters that headers carry."""
        kind = shape.type_name
        inside = (*parents, shape.name)
        if getattr(shape, "is_document_type", False):
            return {"free": [1, "form", {"of": True}]}
        if kind == "structure":
            return self._structure(shape, inside, plain)
        if kind == "list":
            return [
                self.value(shape.member, f"{name}{number}", inside, plain=plain) for number in range(self._size(shape))
            ]
        if kind == "map":
            return self._map(shape, name, inside, plain)
        return self._scalar(shape, name, plain)

    def _structure(self, shape: Shape, inside: tuple[str, ...], plain: bool) -> dict[str, Any]:
        members = {key: member for key, member in shape.members.items() if _fits(member, inside)}
        wanted = list(members) if self._full else [key for key in members if key in shape.required_members]
        if shape.is_tagged_union:
            wanted = [self._random.choice(list(members))]
        return {key: self.value(members[key], key, inside, plain=plain or _outside(members[key])) for key in wanted}

    def _map(self, shape: Shape, name: str, inside: tuple[str, ...], plain: bool) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for number in range(self._size(shape)):
            key = self.value(shape.key, f"{name}{number}", inside, plain=True)
            key = key.lower() if plain and shape.serialization.get("location") == "headers" else key
            made[key] = self.value(shape.value, f"v{number}", inside, plain=plain)
        return made

    def _size(self, shape: Shape) -> int:
        least, most = shape.metadata.get("min", 0), shape.metadata.get("max")
        wanted = max(least, 2 if self._full else 1)
        return wanted if most is None else min(wanted, most)

    def _scalar(self, shape: Shape, name: str, plain: bool) -> Any:
        kind, least, most = shape.type_name, shape.metadata.get("min"), shape.metadata.get("max")
        if kind == "string":
            if shape.serialization.get("jsonvalue") and plain:
                return {"json": ["value", 1]}
            return self._text(shape, name, plain)
        if kind == "timestamp":
            coarse = plain or "rfc822" in str(shape.serialization.get("timestampFormat"))
            return MOMENT.replace(microsecond=0) if coarse else MOMENT
        if kind == "blob":
            return (BLOB * (1 + (least or 0) // len(BLOB)))[: max(least or 0, min(len(BLOB), most or len(BLOB)))]
        if kind == "boolean":
            return self._full
        number: float = {"integer": 7, "long": 1 << 40, "float": 1.5, "double": -2.25e10}[kind]
        number = number if most is None else min(number, most)
        number = number if least is None else max(number, least)
        return int(number) if kind in ("integer", "long") else float(number)

    def _text(self, shape: Any, name: str, plain: bool) -> str:
        if shape.enum:
            return str(self._random.choice(shape.enum))
        least, most = shape.metadata.get("min", 0), shape.metadata.get("max")
        if patterns.compiled(shape.metadata.get("pattern", "")) is not None and "pattern" in shape.metadata:
            return _matching(shape.metadata["pattern"], max(least, 1 if most != 0 else 0), most, name[-1:])
        text = f"{name}-value" if plain else f" {name} <ü&\"賢'>\n/%2F+ "
        return text.ljust(least, "x")[:most].strip() if plain else text.ljust(least, "x")[:most]


@cache
def _matching(pattern: str, least: int, most: int | None, variant: str) -> str:
    """A text for a pattern; `variant` keeps the keys of a map apart."""
    expression = patterns.compiled(pattern)
    assert expression is not None
    text = matching(expression, Random(f"{pattern} {variant}"), least, most)
    assert text is not None, f"no text found for {pattern}, {least} to {most} characters"
    return text


def sample(shape: Shape, name: str = "x") -> Any:
    """A valid value of the shape with every member set."""
    return Sample(name).value(shape)


def _fits(member: Shape, inside: tuple[str, ...]) -> bool:
    """Shapes that contain themselves end somewhere, and event streams are sampled on their own."""
    return inside.count(member.name) < DEPTH - 2 and not member.serialization.get("eventstream")


def _outside(member: Shape) -> bool:
    return member.serialization.get("location") in ("header", "headers") or bool(
        member.serialization.get("eventheader")
    )


def events(stream: Shape, *, full: bool = True) -> list[dict[str, Any]]:
    """One event of each kind that is no exception."""
    return [
        {name: Sample(name, full=full).value(shape, name)}
        for name, shape in stream.members.items()
        if not shape.metadata.get("exception")
    ]


def send(
    operation: OperationModel,
    protocol: str,
    values: dict[str, Any],
    change: Callable[[dict[str, Any], OperationModel], None] | None = None,
) -> Request:
    """What botocore's own serializer sends; `change` stands for a handler of its client, such as compression."""
    kind = CLIENT_PROTOCOLS.get(protocol, protocol)
    wire = serialize.create_serializer(kind, include_validation=False).serialize_to_request(values, operation)
    if change is not None:
        change(wire, operation)
    prepare_request_dict(wire, endpoint_url="http://127.0.0.1:1")
    prepared = create_request_object(wire).prepare()
    url = urlsplit(prepared.url)
    body = prepared.body or b""
    headers = {
        key.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for key, value in prepared.headers.items()
    }
    return Request(
        prepared.method, url.path, url.query, headers, body if isinstance(body, bytes) else str(body).encode()
    )


def receive(operation: OperationModel, protocol: str, response: Response, shape: Shape | None = None) -> dict[str, Any]:
    """What botocore's own parser reads; `shape` for an error's own members."""
    shape = shape or operation.output_shape
    body: Any = response.body
    if response.status < 300 and shape is not None:
        payload = shape.serialization.get("payload")
        if operation.get_event_stream_output() is not None:
            body = _Stream(body)
        elif payload and shape.members[payload].type_name == "blob":
            body = io.BytesIO(body)
    parser = parsers.create_parser(CLIENT_PROTOCOLS.get(protocol, protocol))
    found: dict[str, Any] = parser.parse(
        {
            "status_code": response.status,
            "headers": HeadersDict(response.headers),
            "body": body,
            "context": {"operation_name": operation.name},
        },
        shape,
    )
    return found


class _Stream:
    """What botocore's event stream reads from: urllib3's interface."""

    def __init__(self, frames: Iterator[bytes]) -> None:
        self._frames = frames

    def stream(self) -> Iterator[bytes]:
        return self._frames

    def close(self) -> None:
        self._frames = iter(())


def comparable(value: Any) -> Any:
    """Streams as their bytes, tuples as lists."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [comparable(item) for item in value]
    return value.read() if hasattr(value, "read") else value
