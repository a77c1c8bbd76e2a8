"""AWS event streams going out: binary frames with headers and checksums, one per event. Frames coming in are not read here.

Once a stream has begun its status can not change, so whatever fails while it runs becomes its last frame: an exception
that the model lists with its members, any other failure as an error with code and message.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol
from zlib import crc32

import orjson
from botocore.model import OperationModel, Shape, StructureShape

from kenja.core.errors import ServiceError
from kenja.core.log import logger
from kenja.wire import cbor, timestamps
from kenja.wire.faults import FaultTable
from kenja.wire.message import Response
from kenja.wire.shapes import fillers, wire_name
from kenja.wire.tree import TreeCompiler
from kenja.wire.xmltree import XmlCompiler

CONTENT_TYPE = "application/vnd.amazon.eventstream"
MAX_TEXT = 32_767  # bytes of a header's value; Smithy, Amazon event stream, "message headers"

Encode = Callable[[Any], bytes]
Frames = Callable[[Iterable[Mapping[str, Any]], bytes, str], Iterator[bytes]]  # (events, first frame, request id)

_log = logger(__name__)


class Payloads(Protocol):
    """How a protocol writes the structure inside an event; `blank` is that of a structure without members."""

    content_type: str
    blank: bytes

    def encoder(self, shape: Shape, name: str) -> Encode: ...


class JsonPayloads:
    """JSON, for `json` and `rest-json`."""

    content_type = "application/json"
    blank = b"{}"

    def __init__(self, tree: TreeCompiler) -> None:
        self._tree = tree

    def encoder(self, shape: Shape, name: str) -> Encode:
        convert = self._tree.writer(shape)
        return lambda value: orjson.dumps(convert(value))


class CborPayloads:
    """CBOR, for `smithy-rpc-v2-cbor`."""

    content_type = "application/cbor"
    blank = cbor.dump({})

    def __init__(self, tree: cbor.CborCompiler) -> None:
        self._tree = tree

    def encoder(self, shape: Shape, name: str) -> Encode:
        convert = self._tree.writer(shape)
        return lambda value: cbor.dump(convert(value))


class XmlPayloads:
    """XML, for `rest-xml`; S3's events without members have no payload at all."""

    content_type = "text/xml"
    blank = b""

    def __init__(self, xml: XmlCompiler) -> None:
        self._xml = xml

    def encoder(self, shape: Shape, name: str) -> Encode:
        convert = self._xml.writer(shape, wire_name(shape, name))

        def encode(value: Any) -> bytes:
            out: list[str] = []
            convert(value, out)
            return "".join(out).encode()

        return encode


def frame(headers: bytes, payload: bytes) -> bytes:
    """One message: prelude, prelude checksum, headers, payload, message checksum (Smithy, Amazon event stream)."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = b"".join((prelude, struct.pack(">I", crc32(prelude)), headers, payload))
    return message + struct.pack(">I", crc32(message))


def header(name: str, kind: str, value: Any) -> bytes:
    """One header; `kind` is the type of the modelled shape."""
    encoded = name.encode()
    start = bytes((len(encoded),)) + encoded
    if kind == "boolean":
        return start + (b"\x00" if value else b"\x01")
    if kind == "integer":
        return start + struct.pack(">Bi", 4, value)
    if kind == "long":
        return start + struct.pack(">Bq", 5, value)
    if kind == "timestamp":
        moment = timestamps.from_text(value) if isinstance(value, str) else value
        seconds = timestamps.seconds(moment) if isinstance(moment, datetime) else moment
        return start + struct.pack(">Bq", 8, round(seconds * 1000))
    content = value if isinstance(value, bytes) else str(value).encode()
    if len(content) > MAX_TEXT:
        raise ValueError(f"The event header {name} has {len(content)} bytes; at most {MAX_TEXT} fit.")
    return start + struct.pack(">BH", 6 if kind == "blob" else 7, len(content)) + content


def initial_response(payload: bytes, content_type: str) -> bytes:
    """The frame that carries an output's other members where the protocol has no headers for them."""
    return frame(
        _texts({":message-type": "event", ":event-type": "initial-response", ":content-type": content_type}), payload
    )


def error(code: str, message: str) -> bytes:
    """The frame for an error that the model does not list, after streaming has begun."""
    shown = message.encode()[:MAX_TEXT].decode(errors="ignore")
    return frame(_texts({":message-type": "error", ":error-code": code, ":error-message": shown}), b"")


def writer(stream: StructureShape, faults: FaultTable, payloads: Payloads) -> Frames:
    """Events, each `{member: value}`, to frames, one per event and as they come; the first frame, if any, goes before.

    The events are closed when the frames are, so that a handler's generator learns that nobody listens any more.
    """
    encoders = {name: _event(name, member, payloads) for name, member in stream.members.items()}
    last = frozenset(name for name, member in stream.members.items() if member.metadata.get("exception"))
    listed = {member.name: name for name, member in stream.members.items() if name in last}

    def failed(problem: ServiceError) -> bytes:
        fault = faults.find(problem.code, problem.status)
        name = listed.get(fault.name)
        if name is None:
            return error(fault.code, problem.message)
        return encoders[name](fault.members(problem.message, problem.fields))

    def write(events: Iterable[Mapping[str, Any]], first: bytes, request_id: str) -> Iterator[bytes]:
        try:
            if first:
                yield first
            for event in events:
                ((name, value),) = event.items()
                yield encoders[name](value)
                if name in last:
                    return
        except ServiceError as problem:
            yield failed(problem)
        except Exception as problem:
            _log.error("request %s: its event stream broke", request_id, exc_info=problem)
            yield error("InternalFailure", f"Kenja failed on this stream; its log tells why under {request_id}.")
        finally:
            if close := getattr(events, "close", None):
                close()

    return write


def rpc_writer(
    operation: OperationModel, faults: FaultTable, payloads: Payloads, headers: Callable[[str], dict[str, str]]
) -> Callable[[Mapping[str, Any], str], Response]:
    """An operation's writer for protocols without HTTP bindings: the output's other members go into the first frame."""
    output = operation.output_shape
    frames = writer(operation.get_event_stream_output(), faults, payloads)
    encode, member = payloads.encoder(output, output.name), output.event_stream_name

    def write(result: Mapping[str, Any], request_id: str) -> Response:
        found = headers(request_id)
        first = initial_response(encode(result), found["content-type"])
        found["content-type"] = CONTENT_TYPE
        return Response(200, found, frames(result[member], first, request_id))

    return write


def _event(name: str, shape: StructureShape, payloads: Payloads) -> Encode:
    kind = "exception" if shape.metadata.get("exception") else "event"
    base = _texts({":message-type": kind, f":{kind}-type": name})
    neutral = fillers(shape)
    outside = [
        (key, member.type_name, neutral.get(key))
        for key, member in shape.members.items()
        if member.serialization.get("eventheader")
    ]
    body = next((key for key, member in shape.members.items() if member.serialization.get("eventpayload")), None)
    content_type, encode = _payload(name, shape, body, payloads)
    if body is None and len(outside) == len(shape.members):
        encode = (lambda value: b"") if outside else (lambda value: payloads.blank)
        content_type = "" if outside or not payloads.blank else payloads.content_type
    if content_type:
        base += _texts({":content-type": content_type})

    def write(value: Mapping[str, Any]) -> bytes:
        headers = base
        for key, type_name, default in outside:
            item = value.get(key, default)
            if item is not None:
                headers += header(key, type_name, item)
        return frame(headers, encode(value))

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


def _texts(values: Mapping[str, str]) -> bytes:
    return b"".join(header(name, "string", value) for name, value in values.items())
