"""InvokeEndpointWithResponseStream: what a handler yields goes to the caller piece by piece; a whole answer in pieces of a size."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.hosting.asking import NoAnswer, frames
from kenja.kernel.hosting.exchange import TIMEOUT, Request
from kenja.kernel.hosting.routes import Route
from kenja.services.sagemaker_runtime import invoke, semantics
from kenja.services.sagemaker_runtime.service import service
from kenja_worker.modelserver.frames import Frame, Kind

PART = 1024 * 1024  # bytes of one event


@service.operation("InvokeEndpointWithResponseStream", level=2)
def invoke_endpoint_with_response_stream(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Answers when the handler's first piece is there; what goes wrong before is an ordinary error, later one of the stream."""
    fork = context.kernel.routes.lookup(context.account, context.region, request["EndpointName"])
    if fork is None:
        raise semantics.not_found(context.account, request["EndpointName"])
    headers = invoke.headers(request)
    route = semantics.choose(fork, headers)
    clock = context.kernel.clock
    began = clock.monotonic()
    try:
        pieces = _pieces(route, semantics.request(route, headers, request["Body"]))
        first = next(pieces)
    except ServiceError as error:
        invoke.measure(context, route, error, clock.monotonic() - began, 0.0)
        raise
    invoke.measure(context, route, None, clock.monotonic() - began, 0.0)
    shown = {
        "Body": _events(chain([first], pieces)),
        "ContentType": first.content_type.decode("latin-1"),
        "InvokedProductionVariant": route.variant,
    }
    if first.custom_attributes:
        shown["CustomAttributes"] = first.custom_attributes.decode("latin-1")
    return shown


def _pieces(route: Route, wanted: Request) -> Iterator[Frame]:
    """Parts and the answer of the first replica that takes the request. Raises ServiceError."""
    for socket in route.sockets:
        try:
            for frame in frames(socket, Frame(1, Kind.STREAM, *wanted), TIMEOUT):
                yield semantics.checked(route, frame)
        except NoAnswer as error:
            if error.sent:
                raise semantics.unanswered(route, sent=True, late=error.late) from error
        else:
            return
    raise semantics.unavailable(route.name)


def _events(pieces: Iterator[Frame]) -> Iterator[dict[str, Any]]:
    try:
        for piece in pieces:
            for start in range(0, len(piece.body), PART):
                yield {"PayloadPart": {"Bytes": piece.body[start : start + PART]}}
    except ServiceError as error:
        late = error.fields.get("OriginalStatusCode") == 0
        code = "ModelInvocationTimeExceeded" if late else "StreamBroken"
        raise service.error("stream", error.message, ErrorCode=code) from error
