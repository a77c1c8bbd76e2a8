"""What REST protocols share: members in path, query string, headers and status. Bodies are each protocol's own."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

from kenja.wire import eventstream, headers, scalars, timestamps
from kenja.wire.codec import Codec, Reader, Writer
from kenja.wire.errors import Malformed, MalformedParameter
from kenja.wire.message import Request, Response
from kenja.wire.router import Router
from kenja.wire.shapes import fillers, outside_answer, wire_name

Bind = Callable[[Request, Mapping[str, str], dict[str, Any]], None]  # reads one member into the values
Place = Callable[[Any, dict[str, str]], None]  # writes one member into the headers
Placed = tuple[str, Any, Place]  # a member's name, its neutral value or None, how it is written
ReadBody = Callable[[bytes], Any]
WriteBody = Callable[[Any], bytes]

_RAW = ("blob", "string")
_CONDITIONAL_DATE = re.compile(r"(x-amz-copy-source-)?if-(un)?modified-since")


class RestCodec(Codec):
    """Subclasses say how a body is read and written."""

    def __init__(self, model: ServiceModel, version: str = "") -> None:
        super().__init__(model, version)
        self._router = Router(model)

    @abstractmethod
    def body_reader(self, shape: Shape, *, whole: bool) -> ReadBody:
        """Bytes to the value of a shape; `whole`: the shape is the input itself, less what travels elsewhere."""

    @abstractmethod
    def body_writer(self, operation: OperationModel, shape: Shape, *, whole: bool) -> WriteBody:
        """The value of a shape to bytes."""

    @abstractmethod
    def base_headers(self, request_id: str) -> dict[str, str]:
        """Headers of every answer."""

    content_type: str
    payloads: eventstream.Payloads

    def route(self, request: Request) -> tuple[str, dict[str, str]] | None:
        return self._router.match(request)

    def reader(self, operation: OperationModel) -> Reader:
        shape = operation.input_shape
        if shape is None:
            return lambda request, path_parameters: {}
        binds = _binds(shape)
        read_body = self._payload_reader(shape)
        # Where the model has no such trait, Content-Encoding belongs to the data: S3 stores an object as it is sent.
        compressible = operation.request_compression is not None

        def read(request: Request, path_parameters: Mapping[str, str]) -> dict[str, Any]:
            values: dict[str, Any] = {}
            if compressible:
                request = request.inflated()
            for bind in binds:
                bind(request, path_parameters, values)
            read_body(request, values)
            return values

        return read

    def _payload_reader(self, shape: StructureShape) -> Callable[[Request, dict[str, Any]], None]:
        name = shape.serialization.get("payload")
        if name is None:
            if all("location" in member.serialization for member in shape.members.values()):
                return lambda request, values: None
            read_whole = self.body_reader(shape, whole=True)
            return lambda request, values: values.update(read_whole(data) if (data := request.content()) else {})
        member = shape.members[name]
        if member.serialization.get("eventstream"):
            return lambda request, values: None  # no client that speaks HTTP/1.1 sends one
        if member.type_name in _RAW:
            read_raw = _raw_reader(member)

            def read_stream(request: Request, values: dict[str, Any]) -> None:
                values[name] = read_raw(request)

            return read_stream
        read_part = self.body_reader(member, whole=False)

        def read_payload(request: Request, values: dict[str, Any]) -> None:
            data = request.content()
            if data:
                values[name] = read_part(data)

        return read_payload

    def writer(self, operation: OperationModel) -> Writer:
        shape = operation.output_shape
        status = operation.http.get("responseCode", 200)
        if shape is None:
            return lambda result, request_id: Response(status, self.base_headers(request_id))
        places, status_member = _places(shape)
        stream = operation.get_event_stream_output()
        if stream is not None:
            return self._stream_writer(operation, stream, places)
        body = self._payload_writer(operation, shape)
        bodiless = operation.http["method"] == "HEAD" or status in (204, 304)

        def write(result: Mapping[str, Any], request_id: str) -> Response:
            answer = Response(status, self.base_headers(request_id))
            _place(places, result, answer.headers)
            if status_member is not None and result.get(status_member) is not None:
                answer.status = result[status_member]
            if status == 200 and "content-range" in answer.headers:
                answer.status = 206
            if not bodiless:
                body(result, answer)
            return answer

        return write

    def _payload_writer(
        self, operation: OperationModel, shape: StructureShape
    ) -> Callable[[Mapping[str, Any], Response], None]:
        name = shape.serialization.get("payload")
        if name is None:
            if shape.members and all(outside_answer(member) for member in shape.members.values()):
                return lambda result, answer: None
            write_whole = self.body_writer(operation, shape, whole=True)

            def write_document(result: Mapping[str, Any], answer: Response) -> None:
                answer.headers["content-type"] = self.content_type
                answer.body = write_whole(result)

            return write_document
        member = shape.members[name]
        if member.type_name in _RAW:
            kind = "application/octet-stream" if member.type_name == "blob" else "text/plain"

            def write_raw(result: Mapping[str, Any], answer: Response) -> None:
                value = result.get(name)
                answer.headers.setdefault("content-type", kind)
                answer.body = value.encode() if isinstance(value, str) else b"" if value is None else value

            return write_raw
        write_part = self.body_writer(operation, member, whole=False)
        neutral = fillers(shape).get(name)

        def write_payload(result: Mapping[str, Any], answer: Response) -> None:
            value = result.get(name, neutral)
            if value is not None:
                answer.headers["content-type"] = self.content_type
                answer.body = write_part(value)

        return write_payload

    def _stream_writer(self, operation: OperationModel, stream: StructureShape, places: list[Placed]) -> Writer:
        frames = eventstream.writer(stream, self.faults, self.payloads)
        member = operation.output_shape.event_stream_name
        status = operation.http.get("responseCode", 200)

        def write(result: Mapping[str, Any], request_id: str) -> Response:
            answer = Response(status, self.base_headers(request_id), frames(result[member], b"", request_id))
            _place(places, result, answer.headers)
            answer.headers["content-type"] = eventstream.CONTENT_TYPE
            return answer

        return write


def place_error_headers(shape: StructureShape, fields: Mapping[str, Any], found: dict[str, str]) -> None:
    """Members of an error that the model puts into headers."""
    for name, _, place in _places(shape)[0]:
        if fields.get(name) is not None:
            place(fields[name], found)


def _raw_reader(member: Shape) -> Callable[[Request], Any]:
    if member.serialization.get("streaming"):
        return lambda request: request.stream()
    if member.type_name == "blob":
        return lambda request: request.content()

    def read_text(request: Request) -> str:
        try:
            return request.content().decode()
        except UnicodeDecodeError:
            raise Malformed("The body is not valid UTF-8.") from None

    return read_text


def _binds(shape: StructureShape) -> list[Bind]:
    named = {
        wire_name(member, name)
        for name, member in shape.members.items()
        if member.serialization.get("location") == "querystring" and member.type_name != "map"
    }
    binds: list[Bind] = []
    for name, member in shape.members.items():
        location, wire = member.serialization.get("location"), wire_name(member, name)
        if location == "uri":
            binds.append(_bind_path(name, wire, member))
        elif location == "header":
            binds.append(_bind_header(name, wire.lower(), member))
        elif location == "headers":
            binds.append(_bind_prefix(name, wire.lower()))
        elif location == "querystring" and member.type_name == "map":
            binds.append(_bind_rest_of_query(name, member, named))
        elif location == "querystring":
            binds.append(_bind_query(name, wire, member))
    return binds


def _bind_path(name: str, wire: str, member: Shape) -> Bind:
    convert = scalars.reader(member)

    def bind(request: Request, path_parameters: Mapping[str, str], values: dict[str, Any]) -> None:
        text = path_parameters.get(wire)
        if text is not None:
            values[name] = _converted(convert, text, name)

    return bind


def _bind_header(name: str, wire: str, member: Shape) -> Bind:
    convert = headers.reader(member)
    if member.type_name == "timestamp" and _CONDITIONAL_DATE.fullmatch(wire):
        convert = _date_or_none

    def bind(request: Request, path_parameters: Mapping[str, str], values: dict[str, Any]) -> None:
        text = request.headers.get(wire)
        value = None if text is None else _converted(convert, text, name)
        if value is not None:
            values[name] = value

    return bind


def _date_or_none(text: str) -> datetime | None:
    """RFC 9110, 13.1.3 and 13.1.4: a condition whose date can not be read is ignored."""
    try:
        return timestamps.from_text(text)
    except Malformed:
        return None


def _bind_prefix(name: str, prefix: str) -> Bind:
    def bind(request: Request, path_parameters: Mapping[str, str], values: dict[str, Any]) -> None:
        found = {key[len(prefix) :]: text for key, text in request.headers.items() if key.startswith(prefix)}
        if found:
            values[name] = found

    return bind


def _bind_query(name: str, wire: str, member: Shape) -> Bind:
    many = member.type_name == "list"
    convert = scalars.reader(member.member if many else member)

    def bind(request: Request, path_parameters: Mapping[str, str], values: dict[str, Any]) -> None:
        texts = [text for key, text in request.arguments() if key == wire]
        if texts and many:
            values[name] = [_converted(convert, text, name) for text in texts]
        elif texts:
            values[name] = _converted(convert, texts[-1], name)

    return bind


def _bind_rest_of_query(name: str, member: Shape, named: set[str]) -> Bind:
    many = member.value.type_name == "list"

    def bind(request: Request, path_parameters: Mapping[str, str], values: dict[str, Any]) -> None:
        found: dict[str, Any] = {}
        for key, text in request.arguments():
            if key in named:
                continue
            if many:
                found.setdefault(key, []).append(text)
            else:
                found[key] = text
        if found:
            values[name] = found

    return bind


def _converted(convert: Callable[[str], Any], text: str, name: str) -> Any:
    try:
        return convert(text)
    except Malformed as problem:
        raise MalformedParameter(problem.message, (name, *problem.path)) from None


def _place(places: list[Placed], result: Mapping[str, Any], found: dict[str, str]) -> None:
    for name, neutral, place in places:
        value = result.get(name, neutral)
        if value is not None:
            place(value, found)


def _places(shape: StructureShape) -> tuple[list[Placed], str | None]:
    """The members that travel in headers, and the member that holds the status."""
    neutral = fillers(shape)
    places: list[Placed] = []
    status = None
    for name, member in shape.members.items():
        location, wire = member.serialization.get("location"), wire_name(member, name).lower()
        if location == "header":
            places.append((name, neutral.get(name), _place_header(wire, headers.writer(member))))
        elif location == "headers":
            places.append((name, neutral.get(name), _place_prefixed(wire)))
        elif location == "statusCode":
            status = name
    return places, status


def _place_header(wire: str, convert: Callable[[Any], str]) -> Place:
    def place(value: Any, found: dict[str, str]) -> None:
        found[wire] = convert(value)

    return place


def _place_prefixed(prefix: str) -> Place:
    def place(value: Any, found: dict[str, str]) -> None:
        for key, text in value.items():
            found[headers.one_line(prefix + key)] = headers.one_line(str(text))

    return place
