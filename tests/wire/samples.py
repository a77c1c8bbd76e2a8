"""Values made from shapes, the same every time, and botocore's own client side to send and read them. No tests here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from botocore import parsers, serialize
from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.model import OperationModel, Shape

from kenja.wire import Request, Response

CLIENT_PROTOCOLS = {"json-1.0": "json", "json-1.1": "json"}
MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789000, UTC)
DEPTH = 4  # levels of a shape that contains itself


def sample(shape: Shape, name: str = "x", parents: tuple[str, ...] = (), *, plain: bool = False) -> Any:
    """A value of the shape with every member set; `plain`: only characters that headers carry."""
    kind = shape.type_name
    inside = (*parents, shape.name)
    if getattr(shape, "is_document_type", False):
        return {"free": [1, "form", {"of": True}]}
    if kind == "structure":
        members = [(key, member) for key, member in shape.members.items() if _fits(member, inside)]
        if shape.is_tagged_union:
            members = members[:1]
        return {key: sample(member, key, inside, plain=plain or _outside(member)) for key, member in members}
    if kind == "list":
        return [sample(shape.member, f"{name}{number}", inside, plain=plain) for number in (1, 2)]
    if kind == "map":
        return {f"{name}{number}".lower(): sample(shape.value, f"v{number}", inside, plain=plain) for number in (1, 2)}
    return _scalar(shape, name, plain)


def _fits(member: Shape, inside: tuple[str, ...]) -> bool:
    """Shapes that contain themselves end somewhere, and event streams are sampled on their own."""
    return inside.count(member.name) < DEPTH - 2 and not member.serialization.get("eventstream")


def _outside(member: Shape) -> bool:
    return member.serialization.get("location") in ("header", "headers") or bool(
        member.serialization.get("eventheader")
    )


def _scalar(shape: Shape, name: str, plain: bool) -> Any:
    kind = shape.type_name
    if kind == "string":
        if shape.serialization.get("jsonvalue") and plain:
            return {"json": ["value", 1]}
        if shape.enum:
            return shape.enum[0]
        return f"{name}-value" if plain else f" {name} <ü&\"賢'>\n/%2F+ "
    if kind == "timestamp":
        coarse = plain or "rfc822" in str(shape.serialization.get("timestampFormat"))
        return MOMENT.replace(microsecond=0) if coarse else MOMENT
    values = {
        "blob": b"\x00\xff blob",
        "boolean": True,
        "integer": 7,
        "long": 1 << 40,
        "float": 1.5,
        "double": -2.25e10,
    }
    return values[kind]


def events(stream: Shape) -> list[dict[str, Any]]:
    """One event of each kind that is no exception."""
    return [
        {name: sample(shape, name)} for name, shape in stream.members.items() if not shape.metadata.get("exception")
    ]


def send(operation: OperationModel, protocol: str, values: dict[str, Any]) -> Request:
    """What botocore's own serializer sends."""
    kind = CLIENT_PROTOCOLS.get(protocol, protocol)
    wire = serialize.create_serializer(kind, include_validation=False).serialize_to_request(values, operation)
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
