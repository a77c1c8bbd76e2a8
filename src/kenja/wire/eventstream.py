"""AWS event streams going out: binary frames with headers and checksums. Frames coming in are not read here."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol
from zlib import crc32

import orjson
from botocore.model import Shape, StructureShape

from kenja.wire.shapes import wire_name
from kenja.wire.tree import TreeCompiler
from kenja.wire.xmltree import XmlCompiler

CONTENT_TYPE = "application/vnd.amazon.eventstream"

Encode = Callable[[Mapping[str, Any]], bytes]


class Payloads(Protocol):
    """How a protocol writes the structure inside an event."""

    content_type: str

    def encoder(self, shape: Shape, name: str) -> Callable[[Any], bytes]: ...


class JsonPayloads:
    """JSON, for `json` and `rest-json`."""

    content_type = "application/json"

    def __init__(self, tree: TreeCompiler) -> None:
        self._tree = tree

    def encoder(self, shape: Shape, name: str) -> Callable[[Any], bytes]:
        convert = self._tree.writer(shape)
        return lambda value: orjson.dumps(convert(value))


class XmlPayloads:
    """XML, for `rest-xml`."""

    content_type = "text/xml"

    def __init__(self, xml: XmlCompiler) -> None:
        self._xml = xml

    def encoder(self, shape: Shape, name: str) -> Callable[[Any], bytes]:
        convert = self._xml.writer(shape, wire_name(shape, name))

        def encode(value: Any) -> bytes:
            out: list[str] = []
            convert(value, out)
            return "".join(out).encode()

        return encode


def frame(headers: Mapping[str, Any], payload: bytes) -> bytes:
    """One message: prelude, prelude checksum, headers, payload, message checksum (Smithy, Amazon event stream)."""
    packed = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    message = b"".join((prelude, struct.pack(">I", crc32(prelude)), packed, payload))
    return message + struct.pack(">I", crc32(message))


def initial_response(payload: bytes, content_type: str) -> bytes:
    """The frame that carries an output's other members where the protocol has no headers for them."""
    return frame({":message-type": "event", ":event-type": "initial-response", ":content-type": content_type}, payload)


def error(code: str, message: str) -> bytes:
    """The frame for an error that the model does not list, after streaming has begun."""
    return frame({":message-type": "error", ":error-code": code, ":error-message": message}, b"")


def writer(
    stream: StructureShape, payloads: Payloads
) -> Callable[[Iterable[Mapping[str, Any]], bytes], Iterator[bytes]]:
    """Events, each `{member: value}`, to frames, one per event and as they come; `first` goes before them."""
    encoders = {name: _event(name, member, payloads) for name, member in stream.members.items()}

    def write(events: Iterable[Mapping[str, Any]], first: bytes) -> Iterator[bytes]:
        if first:
            yield first
        for event in events:
            ((name, value),) = event.items()
            yield encoders[name](value)

    return write


def _event(name: str, shape: StructureShape, payloads: Payloads) -> Encode:
    exceptional = bool(shape.metadata.get("exception"))
    base: dict[str, Any] = {":message-type": "exception" if exceptional else "event"}
    base[":exception-type" if exceptional else ":event-type"] = name
    outside = [key for key, member in shape.members.items() if member.serialization.get("eventheader")]
    body = next((key for key, member in shape.members.items() if member.serialization.get("eventpayload")), None)
    content_type, encode = _payload(name, shape, body, payloads)
    has_payload = body is not None or len(outside) < len(shape.members)

    def write(value: Mapping[str, Any]) -> bytes:
        headers = dict(base)
        headers.update((key, value[key]) for key in outside if value.get(key) is not None)
        if has_payload:
            headers[":content-type"] = content_type
        return frame(headers, encode(value) if has_payload else b"")

    return write


def _payload(name: str, shape: StructureShape, body: str | None, payloads: Payloads) -> tuple[str, Encode]:
    if body is None:
        return payloads.content_type, payloads.encoder(shape, name)
    member = shape.members[body]
    if member.type_name == "blob":
        return "application/octet-stream", lambda value: value.get(body) or b""
    if member.type_name == "string":
        return "text/plain", lambda value: (value.get(body) or "").encode()
    inner = payloads.encoder(member, body)
    return payloads.content_type, lambda value: inner(value.get(body) or {})


def _header(name: str, value: Any) -> bytes:
    encoded = name.encode()
    start = bytes((len(encoded),)) + encoded
    if value is True or value is False:
        return start + (b"\x00" if value else b"\x01")
    if isinstance(value, int):
        small = -(1 << 31) <= value < 1 << 31
        return start + (struct.pack(">Bi", 4, value) if small else struct.pack(">Bq", 5, value))
    if isinstance(value, bytes):
        return start + struct.pack(">BH", 6, len(value)) + value
    if isinstance(value, datetime):
        return start + struct.pack(">Bq", 8, round(value.timestamp() * 1000))
    text = str(value).encode()
    return start + struct.pack(">BH", 7, len(text)) + text
