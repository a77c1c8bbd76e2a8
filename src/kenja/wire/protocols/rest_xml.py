"""REST with XML bodies, as S3 speaks it and, with wrapped errors, everyone else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from botocore.model import OperationModel, ServiceModel, Shape

from kenja.wire import eventstream
from kenja.wire.codec import Refusal
from kenja.wire.errors import Malformed
from kenja.wire.faults import Fault
from kenja.wire.message import Response
from kenja.wire.rest import ReadBody, RestCodec, WriteBody, place_error_headers
from kenja.wire.shapes import wire_name
from kenja.wire.xmltree import XmlCompiler, escape, local, parse, prose

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

# The one member is the root itself. Smithy: trait aws.customizations#s3UnwrappedXmlOutput.
UNWRAPPED = frozenset({"GetBucketLocation"})


class RestXmlCodec(RestCodec):
    """S3 differs in its request id headers, its namespace and its unwrapped errors."""

    content_type = "application/xml"

    def __init__(self, model: ServiceModel, version: str = "") -> None:
        super().__init__(model, version)
        self._xml = XmlCompiler()
        self._is_s3 = model.service_name == "s3"
        self._namespace = S3_NAMESPACE if self._is_s3 else model.metadata.get("xmlNamespace")
        self.payloads = eventstream.XmlPayloads(self._xml)

    def body_reader(self, shape: Shape, *, whole: bool) -> ReadBody:
        convert = self._xml.reader(shape)
        tag = wire_name(shape, shape.name)

        def read(data: bytes) -> Any:
            root = parse(data)
            if local(root.tag) != tag:
                raise Malformed(f"Expected the element <{tag}>, found <{local(root.tag):.60}>.")
            return convert(root)

        return read

    def body_writer(self, operation: OperationModel, shape: Shape, *, whole: bool) -> WriteBody:
        if operation.name in UNWRAPPED:
            (name, member), *_ = shape.members.items()
            scalar = self._xml.writer(member, name, self._namespace)
            return lambda value: _document(scalar, value.get(name) or "")
        convert = self._xml.writer(shape, wire_name(shape, shape.name), self._namespace)
        return lambda value: _document(convert, value)

    def base_headers(self, request_id: str) -> dict[str, str]:
        if self._is_s3:
            return {"x-amz-request-id": request_id, "x-amz-id-2": _host_id(request_id)}
        return {"x-amzn-requestid": request_id}

    def refuse(self, fault: Fault, refusal: Refusal) -> Response:
        found = self.base_headers(refusal.request_id)
        if fault.shape is not None:
            place_error_headers(fault.shape, refusal.fields, found)
        if refusal.method == "HEAD" or fault.status == 304:
            return Response(fault.status, found)
        found["content-type"] = self.content_type
        inner = f"<Code>{escape(fault.code)}</Code><Message>{prose(refusal.message)}</Message>{self._details(fault, refusal.fields)}"
        if self._is_s3:
            body = f"<Error>{inner}<RequestId>{refusal.request_id}</RequestId><HostId>{_host_id(refusal.request_id)}</HostId></Error>"
        else:
            kind = "Sender" if fault.sender else "Receiver"
            body = f"<Error><Type>{kind}</Type>{inner}</Error><RequestId>{refusal.request_id}</RequestId>"
            body = f'<ErrorResponse xmlns="{escape(str(self._namespace or ""))}">{body}</ErrorResponse>'
        return Response(fault.status, found, (DECLARATION + body).encode())

    def _details(self, fault: Fault, fields: Mapping[str, Any] | None) -> str:
        """Modelled members as the model says, others (S3's Key, BucketName …) as text."""
        out: list[str] = []
        for name, value in (fields or {}).items():
            member = fault.shape.members.get(name) if fault.shape is not None else None
            if (
                value is None
                or name.lower() == "message"
                or (member is not None and "location" in member.serialization)
            ):
                continue
            if member is not None:
                self._xml.writer(member, wire_name(member, name))(value, out)
            else:
                out.append(f"<{name}>{prose(str(value))}</{name}>")
        return "".join(out)


def _document(convert: Any, value: Any) -> bytes:
    out = [DECLARATION]
    convert(value, out)
    return "".join(out).encode()


def _host_id(request_id: str) -> str:
    """S3's second id; here it says nothing that the first does not."""
    return base64.b64encode(request_id.encode()).decode()


CODEC = RestXmlCodec
