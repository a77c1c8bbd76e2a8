"""REST with JSON bodies."""

from __future__ import annotations

import orjson
from botocore.model import OperationModel, ServiceModel, Shape

from kenja.wire import eventstream
from kenja.wire.codec import Refusal
from kenja.wire.faults import Fault
from kenja.wire.message import Response
from kenja.wire.protocols.json import load
from kenja.wire.rest import ReadBody, RestCodec, WriteBody, place_error_headers
from kenja.wire.tree import TreeCompiler


class RestJsonCodec(RestCodec):
    """Errors name their code in x-amzn-errortype."""

    content_type = "application/json"

    def __init__(self, model: ServiceModel, version: str = "") -> None:
        super().__init__(model, version)
        self._tree = TreeCompiler()
        self.payloads = eventstream.JsonPayloads(self._tree)

    def body_reader(self, shape: Shape, *, whole: bool) -> ReadBody:
        convert = self._tree.reader(shape, body=whole)
        return lambda data: convert(load(data))

    def body_writer(self, operation: OperationModel, shape: Shape, *, whole: bool) -> WriteBody:
        convert = self._tree.writer(shape, body=whole)
        return lambda value: orjson.dumps(convert(value))

    def base_headers(self, request_id: str) -> dict[str, str]:
        return {"x-amzn-requestid": request_id}

    def refuse(self, fault: Fault, refusal: Refusal) -> Response:
        found = {
            "content-type": "application/json",
            "x-amzn-requestid": refusal.request_id,
            "x-amzn-errortype": fault.code,
        }
        if fault.shape is not None:
            place_error_headers(fault.shape, fault.members(refusal.message, refusal.fields), found)
        if refusal.method == "HEAD":
            return Response(fault.status, found)
        return Response(
            fault.status, found, orjson.dumps(self._tree.error(fault, refusal.message, refusal.fields, body=True))
        )


CODEC = RestJsonCodec
