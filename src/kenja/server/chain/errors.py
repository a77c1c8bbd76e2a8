"""How a request's failure is told: in the service's protocol, with AWS's code; our own bugs as an internal failure."""

from __future__ import annotations

from xml.sax.saxutils import escape

import orjson

from kenja.core.errors import ServiceError
from kenja.server.chain.head import Head
from kenja.server.chain.route import Target, signed_for
from kenja.wire.codec import Codec
from kenja.wire.errors import Malformed
from kenja.wire.message import Response
from kenja.wire.select import select

NOT_MODIFIED = 304
OURS = 500  # HTTP status of what is not the caller's fault
_MALFORMED = {  # protocol -> AWS's code for a body that can not be parsed
    "rest": "SerializationException",
    "query": "MalformedInput",
}


def translate(error: Exception, target: Target) -> ServiceError:
    """Any failure as the error that the caller sees."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, Malformed):
        code = "MalformedXML" if _is_s3(target) else _MALFORMED.get(target.protocol, "SerializationException")
        return ServiceError(code, str(error), status=400)
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
    return ServiceError("UnknownOperationException", f"{service} has no operation {named!r}.", status=404)


def _is_s3(target: Target) -> bool:
    return target.manifest.name == "s3"


def response(wire: Codec, error: ServiceError, target: Target, request_id: str, operation: str = "") -> Response:
    """The error in the protocol of its service."""
    answer = wire.error(
        error.code,
        error.message,
        fields=dict(error.fields),
        status=error.status,
        request_id=request_id,
        operation=operation or None,
        method=target.head.method,
    )
    if answer.status == NOT_MODIFIED and "ETag" in error.fields:  # RFC 9110, 15.4.5
        answer.headers["etag"] = str(error.fields["ETag"])
    return answer


def no_service(head: Head, request_id: str) -> Response:
    """A request for a service that no folder serves: parity level 0 of the whole service, in the request's own protocol."""
    named = head.headers.get("x-amz-target") or signed_for(head) or f"{head.method} {head.path}"
    message = f"Kenja serves no service for this request ({named}). `kenja operations` lists what it serves."
    code = "UnsupportedOperationException"
    headers = {"x-amzn-errortype": code, "x-amzn-requestid": request_id}
    if select(head.headers, head.headers.get("content-type", ""), head.path, head.query) == "query":
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        text = f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
        return Response(501, {"content-type": "text/xml", **headers}, text.encode())
    content = orjson.dumps({"__type": code, "message": message})
    return Response(501, {"content-type": "application/x-amz-json-1.1", **headers}, content)
