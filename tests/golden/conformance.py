"""One case of the Smithy protocol suites against our codecs; botocore's own serializer and parsers stand on the client's side.

input: what botocore sends for the case's params, read by us, must be those params.
request: the case's own bytes, as Smithy's authors wrote them, read by us, must be those params.
output: what we write for the case's result, read by botocore, must be that result, under the case's HTTP status.
error: the same for an error: code, message, members and status.
"""

from __future__ import annotations

import base64
import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from botocore.compress import maybe_compress_request
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.utils import parse_timestamp

from kenja.wire import Codec, Request, codec
from kenja.wire.models import give_faults_a_status
from kenja.wire.protocols.query import QueryCodec
from tests.wire import samples

KINDS = ("input", "request", "output", "error")
TOKEN = "00000000-0000-4000-8000-000000000000"  # what the suites' clients fill into an idempotency token
NAMESPACE = "https://example.com/"  # the suites' models have none, query's answers must
COMPRESSION = SimpleNamespace(
    disable_request_compression=False, signature_version="v4", request_min_compression_size_bytes=0
)


@dataclass(frozen=True)
class Case:
    """`key` is unique: kind, suite file and Smithy's id."""

    kind: str
    suite: str
    body: dict[str, Any]
    description: dict[str, Any]  # the service model, all but this operation

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.suite}/{self.body['id']}"

    @property
    def protocol(self) -> str:
        return str(self.description["metadata"]["protocol"])


def cases(folder: Path) -> Iterator[Case]:
    """Every case but those that botocore's own list leaves out, because its client can not do them."""
    ignored = (folder / "protocol-tests-ignore-list.json").read_text()
    for direction in ("input", "output"):
        for file in sorted((folder / direction).glob("*.json")):
            for suite in json.loads(file.read_text()):
                description = {name: value for name, value in suite.items() if name != "cases"}
                for body in suite["cases"]:
                    if f'"{body["id"]}"' in ignored:
                        continue
                    kinds = (
                        ("input", "request") if direction == "input" else ("error" if "error" in body else "output",)
                    )
                    if "body" not in body.get("serialized", {"body": ""}) and "requestcompression" in body["given"]:
                        kinds = ("input",)  # the suite does not say what the compressed bytes are
                    for kind in kinds:
                        yield Case(kind, file.stem, body, description)


def run(case: Case) -> tuple[Any, Any]:
    """What should come out and what does; both are alike when the case passes."""
    operation, chosen = _model(case)
    return {"input": _input, "request": _request, "output": _output, "error": _error}[case.kind](
        case, operation, chosen
    )


def _model(case: Case) -> tuple[OperationModel, Codec]:
    given = copy.deepcopy(case.body["given"])
    name = given.setdefault("name", "OperationName")
    description = {**copy.deepcopy(case.description), "operations": {name: given}}
    description["metadata"].setdefault("endpointPrefix", "testsvc")
    description["metadata"].setdefault("xmlNamespace", NAMESPACE)
    if case.protocol == "query" and "output" in given:
        given["output"]["resultWrapper"] = f"{name}Result"
    give_faults_a_status(description)
    model = ServiceModel(description, "testsvc")
    return model.operation_model(name), codec(model, case.protocol)


def _input(case: Case, operation: OperationModel, chosen: Codec) -> tuple[Any, Any]:
    params = _given(operation.input_shape, case.body["params"])
    return _read(operation, chosen, samples.send(operation, case.protocol, copy.deepcopy(params), _compress), params)


def _compress(wire: dict[str, Any], operation: OperationModel) -> None:
    maybe_compress_request(COMPRESSION, wire, operation)


def _request(case: Case, operation: OperationModel, chosen: Codec) -> tuple[Any, Any]:
    sent = case.body["serialized"]
    url = urlsplit(sent["uri"].removeprefix(urlsplit(case.description.get("clientEndpoint", "")).path))
    content = sent.get("body", "")
    body = base64.b64decode(content) if case.protocol == "smithy-rpc-v2-cbor" else content.encode()
    headers = {name.lower(): text for name, text in sent.get("headers", {}).items()}
    if case.protocol == "json":
        headers.setdefault("x-amz-target", f"{chosen.model.metadata['targetPrefix']}.{operation.name}")
    request = Request(sent.get("method", "POST"), url.path or "/", url.query, headers, body)
    params = {**dict.fromkeys(operation.idempotent_members, TOKEN), **case.body["params"]}
    return _read(operation, chosen, request, _given(operation.input_shape, params))


def _read(
    operation: OperationModel, chosen: Codec, request: Request, params: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    routed = chosen.route(request)
    assert routed is not None, f"no route for {request.method} {request.path}"
    assert routed[0] == operation.name
    shape, form = operation.input_shape, isinstance(chosen, QueryCodec)
    found = chosen.parse(operation.name, request, routed[1])
    return comparable(shape, params, form=form), comparable(shape, found, form=form)


def _output(case: Case, operation: OperationModel, chosen: Codec) -> tuple[Any, Any]:
    shape = operation.output_shape
    result = _given(shape, case.body["result"])
    response = chosen.serialize(operation.name, result, "request-1")
    found = samples.receive(operation, case.protocol, response)
    found.pop("ResponseMetadata", None)  # of CBOR answers without an output botocore reads nothing
    status = case.body["response"]["status_code"]
    return (status, comparable(shape, result)), (response.status, comparable(shape, found))


def _error(case: Case, operation: OperationModel, chosen: Codec) -> tuple[Any, Any]:
    code, message = case.body.get("errorCode", ""), case.body.get("errorMessage", "")
    shape = next((one for one in chosen.model.error_shapes if code in (one.name, one.error_code)), None)
    members = _given(shape, case.body["error"])
    fields = {name: value for name, value in members.items() if name.lower() != "message"}
    response = chosen.error(code, message, fields=fields, request_id="request-1")
    found = samples.receive(operation, case.protocol, response)
    own = samples.receive(operation, case.protocol, response, shape) if shape is not None else {}
    own = {name: value for name, value in own.items() if name in members}
    status = case.body["response"]["status_code"]
    if "awsQueryCompatible" in case.description["metadata"]:
        status = response.status  # the suite's answers have 400 where its models say 402
    expected = (status, code, message, comparable(shape, members))
    return expected, (response.status, found["Error"]["Code"], found["Error"]["Message"], comparable(shape, own))


def _given(shape: Shape | None, value: Any) -> Any:
    """The suites' JSON as the values that it stands for."""
    if value is None or shape is None or getattr(shape, "is_document_type", False):
        return {} if shape is None else value
    match shape.type_name:
        case "structure":
            return {name: _given(shape.members[name], item) for name, item in value.items() if name in shape.members}
        case "list":
            return [_given(shape.member, item) for item in value]
        case "map":
            return {name: _given(shape.value, item) for name, item in value.items()}
        case "timestamp":
            return datetime.fromtimestamp(value, UTC) if isinstance(value, (int, float)) else parse_timestamp(value)
        case "blob":
            return value.encode() if isinstance(value, str) else value
        case "float" | "double":
            return float(value)
    return value


def comparable(shape: Shape | None, value: Any, *, form: bool = False) -> Any:
    """Values in one form: moments as epoch seconds to the millisecond, NaN equal to itself, absent what is None.

    An empty text, list or map in a header, a query string, a form or as a whole body can not be told from an absent one.
    """
    if shape is None:
        return {}
    found = _comparable(shape, value)
    return {
        name: item
        for name, item in found.items()
        if item not in ("", [], {}, b"") or not (form or _outside(shape, name))
    }


def _outside(shape: Shape, name: str) -> bool:
    return "location" in shape.members[name].serialization or shape.serialization.get("payload") == name


def _comparable(shape: Shape, value: Any) -> Any:
    if value is None or getattr(shape, "is_document_type", False):
        return value
    match shape.type_name:
        case "structure":
            return {name: _comparable(shape.members[name], item) for name, item in value.items() if item is not None}
        case "list":
            return [_comparable(shape.member, item) for item in value]
        case "map":
            return {name: _comparable(shape.value, item) for name, item in value.items()}
        case "timestamp":
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            return round(moment.timestamp(), 3)
        case "blob":
            return value.read() if hasattr(value, "read") else value
        case "float" | "double":
            number = float(value)  # botocore leaves "NaN" in JSON as text
            return "NaN" if math.isnan(number) else number
    return value
