"""AWS JSON 1.0 and 1.1: one POST, the operation in X-Amz-Target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from botocore.model import OperationModel, ServiceModel

from kenja.wire import eventstream
from kenja.wire.codec import Codec, Reader, Refusal, Writer
from kenja.wire.errors import Malformed
from kenja.wire.faults import Fault
from kenja.wire.message import Request, Response
from kenja.wire.tree import TreeCompiler


class JsonCodec(Codec):
    """Both versions; they differ in the content type alone."""

    def __init__(self, model: ServiceModel, version: str = "") -> None:
        super().__init__(model, version)
        self._tree = TreeCompiler()
        self._payloads = eventstream.JsonPayloads(self._tree)
        self._content_type = f"application/x-amz-json-{version or model.metadata.get('jsonVersion', '1.0')}"
        self._names = frozenset(model.operation_names)
        self._query_compatible = "awsQueryCompatible" in model.metadata

    def route(self, request: Request) -> tuple[str, dict[str, str]] | None:
        prefix, _, name = request.headers.get("x-amz-target", "").rpartition(".")
        known = name in self._names and prefix == self.model.metadata.get("targetPrefix")
        return (name, {}) if known else None

    def reader(self, operation: OperationModel) -> Reader:
        if operation.input_shape is None:
            return lambda request, path_parameters: {}
        convert = self._tree.reader(operation.input_shape)

        def read(request: Request, path_parameters: Mapping[str, str]) -> dict[str, Any]:
            found: dict[str, Any] = convert(load(request.document()))
            return found

        return read

    def writer(self, operation: OperationModel) -> Writer:
        if operation.get_event_stream_output() is not None:
            return eventstream.rpc_writer(operation, self.faults, self._payloads, self._headers)
        convert = self._tree.writer(operation.output_shape) if operation.output_shape is not None else _nothing

        def write(result: Mapping[str, Any], request_id: str) -> Response:
            return Response(200, self._headers(request_id), orjson.dumps(convert(result)))

        return write

    def refuse(self, fault: Fault, refusal: Refusal) -> Response:
        headers = self._headers(refusal.request_id)
        if self._query_compatible:
            headers["x-amzn-query-error"] = fault.query_error
        body = {"__type": fault.name, **self._tree.error(fault, refusal.message, refusal.fields)}
        return Response(fault.status, headers, orjson.dumps(body))

    def _headers(self, request_id: str) -> dict[str, str]:
        return {"content-type": self._content_type, "x-amzn-requestid": request_id}


def load(data: bytes) -> Any:
    """JSON text to a tree; an empty body stands for an empty object. Of a repeated key the last value counts."""
    if not data:
        return {}
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as problem:
        raise Malformed(f"The body is not valid JSON: {problem}.") from None


def _nothing(result: Any) -> dict[str, Any]:
    return {}


CODEC = JsonCodec
