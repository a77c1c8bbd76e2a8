"""How a request's failure is told: in the service's protocol, with AWS's code; our own bugs as an internal failure."""

from __future__ import annotations

from functools import cache

from botocore.model import ServiceModel

from kenja.core import trouble
from kenja.core.errors import ServiceError
from kenja.server.chain import hosts
from kenja.server.chain.head import Head
from kenja.server.chain.route import PIN, Target, signed_for
from kenja.wire.codec import Codec, codec, protocols, resolve
from kenja.wire.errors import Malformed, MalformedCoding, MalformedParameter, MalformedPath
from kenja.wire.message import Response
from kenja.wire.select import select

UNSUPPORTED = "UnsupportedOperationException"  # parity level 0
UNAVAILABLE = "ServiceUnavailable"  # "Common Errors" of AWS's API references; Amazon S3, "List of error codes"
OURS = 500  # HTTP status of what is not the caller's fault
_UNKNOWN = {  # what `select` found, up to a dash -> metadata enough to answer a request for a service nobody knows
    "json": {"protocol": "json", "serviceId": "Unknown"},
    "query": {"protocol": "query", "serviceId": "Unknown"},
    "smithy": {"protocol": "smithy-rpc-v2-cbor", "serviceId": "Unknown"},
    "rest": {"protocol": "rest-json", "serviceId": "Unknown"},
}
_MALFORMED = {  # protocol -> AWS's code for a body that can not be parsed
    "rest": "SerializationException",
    "query": "MalformedInput",
}

_MALFORMED_S3: dict[type[Malformed], str] = {  # Amazon S3 API Reference, List of error codes
    MalformedParameter: "InvalidArgument",
    MalformedPath: "InvalidURI",
    MalformedCoding: "IncompleteBody",
}


def translate(error: Exception, target: Target) -> ServiceError:
    """Any failure as the error that the caller sees."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, Malformed):
        code = _MALFORMED.get(target.protocol, "SerializationException")
        if _is_s3(target):
            code = next((code for kind, code in _MALFORMED_S3.items() if isinstance(error, kind)), "MalformedXML")
        return ServiceError(code, str(error), status=400)
    sentence = trouble.of(error)
    if sentence is not None:
        return ServiceError(UNAVAILABLE, sentence, status=503)
    code = "InternalError" if _is_s3(target) else "InternalFailure"
    return ServiceError(code, "Kenja failed on this request; its log tells why under the request id.", status=OURS)


def unknown_operation(target: Target) -> ServiceError:
    """A request that names no operation of its service."""
    head, service = target.head, target.manifest.name
    named = head.headers.get("x-amz-target")
    if named is None and target.protocol == "query":
        return ServiceError("InvalidAction", f"The form names no Action that {service} has.", status=400)
    if target.protocol.startswith("rest"):
        code = "MethodNotAllowed" if _is_s3(target) else "UnknownOperationException"
        status = 405 if _is_s3(target) else 404
        return ServiceError(code, f"{service} has no operation for {head.method} {head.path}.", status=status)
    return ServiceError("UnknownOperationException", f"{service} has no operation {named or head.path!r}.", status=404)


def _is_s3(target: Target) -> bool:
    return target.manifest.name == "s3"


def response(wire: Codec, error: ServiceError, target: Target, request_id: str) -> Response:
    """The error in the protocol of its service."""
    answer = wire.error(
        error.code,
        error.message,
        fields=dict(error.fields),
        status=error.status,
        request_id=request_id,
        method=target.head.method,
    )
    answer.headers.update(error.headers)
    return answer


def no_service(head: Head, request_id: str) -> Response:
    """A request for a service that no folder serves: parity level 0 of the whole service, in its own protocol.

    The first one reads what botocore knows of all services, so it may take a tenth of a second.
    """
    host = hosts.parse(head.headers.get("host", ""))
    signed = signed_for(head)
    if head.path.startswith(PIN):
        meant = hosts.metadata(head.path.removeprefix(PIN).partition("/")[0])
    else:
        meant = hosts.known(host) if host is not None else hosts.signing(signed or "")
    named = meant.get("serviceFullName") or head.headers.get("x-amz-target") or signed or f"{head.method} {head.path}"
    where = f" at {host.name}" if host is not None else ""
    message = f"Kenja serves no service for this request ({named}{where}). `kenja operations` lists what it serves."
    written = select(head.headers, head.headers.get("content-type", ""), head.path, head.query)
    wire = codec(*_skeleton(meant.get("name", ""), written))
    answer = wire.error(UNSUPPORTED, message, status=501, request_id=request_id, method=head.method)
    answer.headers.setdefault("x-amzn-errortype", UNSUPPORTED)
    return answer


@cache
def _skeleton(service: str, written: str) -> tuple[ServiceModel, str]:
    """A model with nothing but a service's metadata, and the protocol of an answer to what `select` found in a request."""
    entry = dict(hosts.metadata(service)) or _UNKNOWN.get(written.partition("-")[0], _UNKNOWN["rest"])
    model = ServiceModel({"metadata": entry, "operations": {}, "shapes": {}}, service)
    return model, written if resolve(model, written) else protocols(model)[0]
