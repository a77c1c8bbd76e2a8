"""EC2's variant of AWS Query: lists without `.member`, names in capitals, and an XML document without a result element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import ListShape, OperationModel, ServiceModel, Shape

from kenja.wire.codec import Refusal, Writer
from kenja.wire.faults import Fault
from kenja.wire.forms import FormCompiler, Node, below
from kenja.wire.message import Response
from kenja.wire.protocols.query import QueryCodec, document
from kenja.wire.shapes import wire_name
from kenja.wire.xmltree import XmlCompiler, escape, prose


class Ec2Forms(FormCompiler):
    """A member's name is its queryName, else its locationName with a capital (Smithy: AWS EC2 query protocol)."""

    def keys(self, member: Shape, name: str) -> tuple[str, ...]:
        if "queryName" in member.serialization:
            return (str(member.serialization["queryName"]),)
        wire = wire_name(member, name)
        return (wire[:1].upper() + wire[1:], name)  # botocore sends a member without a locationName as it is spelt

    def numbered(self, shape: ListShape) -> Callable[[Node], dict[str, Node]]:
        return below


class Ec2Codec(QueryCodec):
    """Form in the body, or in the query string of a GET; XML out."""

    forms = Ec2Forms

    def __init__(self, model: ServiceModel, version: str = "") -> None:
        super().__init__(model, version)
        self._xml = XmlCompiler()

    def writer(self, operation: OperationModel) -> Writer:
        tag, shape = f"{operation.name}Response", operation.output_shape
        members = self._xml.content_writer(shape) if shape is not None else None
        start = f'<{tag} xmlns="{self._namespace}"><requestId>'

        def write(result: Mapping[str, Any], request_id: str) -> Response:
            out = [start, request_id, "</requestId>"]
            if members is not None:
                members(result, out)
            out.append(f"</{tag}>")
            return document(200, out, request_id)

        return write

    def refuse(self, fault: Fault, refusal: Refusal) -> Response:
        out = [f"<Response><Errors><Error><Code>{escape(fault.code)}</Code><Message>{prose(refusal.message)}</Message>"]
        self.write_details(fault, refusal.fields, out)
        out.append(f"</Error></Errors><RequestID>{refusal.request_id}</RequestID></Response>")
        return document(fault.status, out, refusal.request_id)


CODEC = Ec2Codec
