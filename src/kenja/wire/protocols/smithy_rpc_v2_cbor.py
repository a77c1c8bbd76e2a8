"""Smithy RPC v2 with CBOR bodies: one POST, the operation in the path /service/NAME/operation/NAME."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import OperationModel, ServiceModel

from kenja.wire import cbor, eventstream
from kenja.wire.codec import Codec, Reader, Refusal, Writer
from kenja.wire.faults import Fault
from kenja.wire.message import Request, Response
from kenja.wire.select import rpc_names

CONTENT_TYPE = "application/cbor"


class CborCodec(Codec):
    """Every answer, errors too, says `smithy-protocol: rpc-v2-cbor`."""

    def __init__(self, model: ServiceModel, version: str = "") -> None:
        super().__init__(model, version)
        self._tree = cbor.CborCompiler()
        self._payloads = eventstream.CborPayloads(self._tree)
        self._names = frozenset(model.operation_names)
        self._query_compatible = "awsQueryCompatible" in model.metadata

    def route(self, request: Request) -> tuple[str, dict[str, str]] | None:
        service, name = rpc_names(request.path) or ("", "")
        known = request.method == "POST" and name in self._names and service == self.model.metadata.get("targetPrefix")
        return (name, {}) if known else None

    def reader(self, operation: OperationModel) -> Reader:
        if operation.input_shape is None:
            return lambda request, path_parameters: {}
        convert = self._tree.reader(operation.input_shape)

        def read(request: Request, path_parameters: Mapping[str, str]) -> dict[str, Any]:
            found: dict[str, Any] = convert(cbor.load(request.document()))
            return found

        return read

    def writer(self, operation: OperationModel) -> Writer:
        if operation.get_event_stream_output() is not None:
            return eventstream.rpc_writer(operation, self.faults, self._payloads, self._headers)
        if operation.output_shape is None:
            return lambda result, request_id: Response(200, self._bare_headers(request_id))
        convert = self._tree.writer(operation.output_shape)

        def write(result: Mapping[str, Any], request_id: str) -> Response:
            return Response(200, self._headers(request_id), cbor.dump(convert(result)))

        return write

    def refuse(self, fault: Fault, refusal: Refusal) -> Response:
        headers = self._headers(refusal.request_id)
        if self._query_compatible:
            headers["x-amzn-query-error"] = fault.query_error
        body = {"__type": fault.name, **self._tree.error(fault, refusal.message, refusal.fields)}
        return Response(fault.status, headers, cbor.dump(body))

    def _headers(self, request_id: str) -> dict[str, str]:
        return {"content-type": CONTENT_TYPE, **self._bare_headers(request_id)}

    def _bare_headers(self, request_id: str) -> dict[str, str]:
        return {"smithy-protocol": "rpc-v2-cbor", "x-amzn-requestid": request_id}


CODEC = CborCodec
