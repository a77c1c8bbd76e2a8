"""InvokeEndpoint in process, and for the few requests over HTTP that do not take the fast path (presigned, pinned)."""

from __future__ import annotations

from typing import Any

from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.hosting.asking import NoAnswer, ask
from kenja.kernel.hosting.exchange import TIMEOUT, Request
from kenja.kernel.hosting.routes import Route
from kenja.kernel.telemetry.metrics import Datum
from kenja.kernel.telemetry.statistics import StatisticSet
from kenja.services.sagemaker_runtime import semantics
from kenja.services.sagemaker_runtime.service import service
from kenja_worker.modelserver.frames import Frame, Kind


@service.operation("InvokeEndpoint", level=2)
def invoke_endpoint(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Asks one replica and waits for its answer."""
    name = request["EndpointName"]
    fork = context.kernel.routes.lookup(context.account, context.region, name)
    if fork is None:
        raise semantics.not_found(context.account, name)
    known = headers(request)
    route = semantics.choose(fork, known)
    clock = context.kernel.clock
    began = clock.monotonic()
    asked = answered = began
    error: ServiceError | None = None
    try:
        wanted = semantics.request(route, known, request["Body"])
        asked = clock.monotonic()
        answer = semantics.checked(route, _asked(route, wanted))
        answered = clock.monotonic()
    except ServiceError as failure:
        error, answered = failure, clock.monotonic()
        raise
    finally:
        measure(context, route, error, answered - asked, asked - began)
    shown = {
        "Body": answer.body,
        "ContentType": answer.content_type.decode("latin-1"),
        "InvokedProductionVariant": route.variant,
    }
    if answer.custom_attributes:
        shown["CustomAttributes"] = answer.custom_attributes.decode("latin-1")
    return shown


def _asked(route: Route, request: Request) -> Frame:
    for socket in route.sockets:
        try:
            return ask(socket, Frame(1, Kind.INVOKE, *request), TIMEOUT)
        except NoAnswer as error:
            if error.sent:
                raise semantics.unanswered(route, sent=True, late=error.late) from error
    raise semantics.unavailable(route.name)


def headers(request: dict[str, Any]) -> dict[bytes, bytes]:
    """The members of a request as the headers that carry them over HTTP in InvokeEndpoint."""
    shape = service.model.operation_model("InvokeEndpoint").input_shape
    assert shape is not None
    return {
        member.serialization["name"].lower().encode(): str(request[name]).encode()
        for name, member in shape.members.items()
        if member.serialization.get("location") == "header" and name in request
    }


def measure(context: Context, route: Route, error: ServiceError | None, model: float, overhead: float) -> None:
    """Write the metrics of one invocation. `model` and `overhead` are seconds."""
    now = context.kernel.clock.virtual()
    data = []
    known = semantics.metrics(route.account, route.region, route.name, route.variant)
    for (line, unit), value in zip(known, semantics.measurements(error, model, overhead), strict=True):
        values = StatisticSet()
        values.add([value])
        data.append(Datum(line.name, values, now, line.dimensions, unit))
    context.kernel.metrics.put(route.account, route.region, semantics.NAMESPACE, data)
