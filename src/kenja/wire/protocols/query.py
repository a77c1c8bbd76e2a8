"""AWS Query: a form in, XML out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import OperationModel, ServiceModel

from kenja.wire.codec import Codec, Reader, Refusal, Writer
from kenja.wire.faults import Fault
from kenja.wire.forms import FormCompiler, grow
from kenja.wire.message import Request, Response
from kenja.wire.shapes import query_name
from kenja.wire.xmltree import XmlCompiler, escape, prose


class QueryCodec(Codec):
    """Form in the body, or in the query string of a GET."""

    forms: type[FormCompiler] = FormCompiler

    def __init__(self, model: ServiceModel, version: str = "") -> None:
        super().__init__(model, version)
        self._forms = self.forms()
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
            return document(200, out, request_id)

        return write

    def refuse(self, fault: Fault, refusal: Refusal) -> Response:
        kind = "Sender" if fault.sender else "Receiver"
        out = [
            f'<ErrorResponse xmlns="{self._namespace}"><Error><Type>{kind}</Type><Code>{escape(fault.code)}</Code>',
            f"<Message>{prose(refusal.message)}</Message>",
        ]
        self.write_details(fault, refusal.fields, out)
        out.append(f"</Error><RequestId>{refusal.request_id}</RequestId></ErrorResponse>")
        return document(fault.status, out, refusal.request_id)

    def write_details(self, fault: Fault, fields: Mapping[str, Any] | None, out: list[str]) -> None:
        """The modelled members of an error, its message excepted."""
        for name, value in (fields or {}).items():
            member = fault.shape.members.get(name) if fault.shape is not None else None
            if member is not None and value is not None and name.lower() != "message":
                self._xml.writer(member, query_name(member, name))(value, out)


def document(status: int, out: list[str], request_id: str) -> Response:
    """Pieces of XML as an answer."""
    headers = {"content-type": "text/xml", "x-amzn-requestid": request_id}
    return Response(status, headers, "".join(out).encode())


CODEC = QueryCodec
