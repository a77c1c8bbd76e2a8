"""What InvokeEndpoint means, for the fast path and for calls in process alike: what is refused, what an answer or its lack becomes.

Headers come as raw bytes by lower-case name. No sockets and no HTTP here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from kenja.core.errors import ServiceError
from kenja.kernel.hosting.exchange import TIMEOUT, Request
from kenja.kernel.hosting.routes import Fork, Route
from kenja.kernel.telemetry.metrics import Series, dimensions
from kenja.services.sagemaker_runtime.service import service
from kenja_worker.modelserver.frames import Frame

MAX_BODY = 6_291_456  # bytes of a request or answer; SageMaker Runtime API reference, InvokeEndpoint
MAX_HEADER = 1024  # characters of ContentType, Accept and CustomAttributes; same page
NAMESPACE = "AWS/SageMaker"
CUSTOM_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
VARIANT = b"x-amzn-sagemaker-target-variant"
_NOT_HERE = {  # headers that ask for what no endpoint of this release has
    b"x-amzn-sagemaker-target-model": "is not a multi-model endpoint, but the target model header was set",
    b"x-amzn-sagemaker-target-container-hostname": "is not a multi-container endpoint, but a target container was named",
    b"x-amzn-sagemaker-inference-component": "has no inference components, but one was named",
    b"x-amzn-sagemaker-enable-explanations": "has no explainer, but explanations were asked for",
    b"x-amzn-sagemaker-session-id": "has no stateful sessions, but a session was named",
}
_UNSAFE = re.compile(rb"[^\x20-\x7e\t]")  # what must not stand in a header of ours


def choose(fork: Fork, headers: Mapping[bytes, bytes]) -> Route:
    """The variant that the caller names, else one by its weight. Raises ValidationError for one that is not there."""
    wanted = headers.get(VARIANT)
    if wanted is None:
        return fork.choose()
    route = fork.variant(wanted.decode("latin-1"))
    if route is None:
        known = ", ".join(each.variant for each in fork.routes)
        raise service.error(
            "validation", f"Variant {wanted.decode('latin-1')} of endpoint {fork.name} not found; it has {known}."
        )
    return route


def request(route: Route, headers: Mapping[bytes, bytes], body: bytes) -> Request:
    """What the replica is asked. Raises ValidationError for what this endpoint does not have."""
    get = headers.get
    content_type, accept = get(b"content-type", b""), get(b"accept", b"")
    attributes = get(CUSTOM_ATTRIBUTES, b"")
    if len(content_type) > MAX_HEADER or len(accept) > MAX_HEADER or len(attributes) > MAX_HEADER:
        raise service.error(
            "validation", f"ContentType, Accept and CustomAttributes can have at most {MAX_HEADER} characters each."
        )
    if not _NOT_HERE.keys().isdisjoint(headers):
        why = next(why for name, why in _NOT_HERE.items() if name in headers)
        raise service.error("validation", f"Endpoint {route.name} {why}.")
    return Request(body, content_type, accept, attributes)


def checked(route: Route, answer: Frame) -> Frame:
    """The answer if it is one. Raises ModelError for the container's own refusals and failures."""
    if 200 <= answer.status < 300:
        if len(answer.body) > MAX_BODY:
            raise failure(route, 500, f"The response has {len(answer.body)} bytes; {MAX_BODY} are allowed.")
        return answer
    raise failure(route, answer.status, answer.body.decode("utf-8", "replace"))


def failure(route: Route, status: int, message: str) -> ServiceError:
    """ModelError for what a container answered, or did not."""
    side = "client" if 400 <= status < 500 else "server"
    group = f"/aws/sagemaker/Endpoints/{route.name}"
    return service.error(
        "model",
        f'Received {side} error ({status}) from primary with message "{message[:MAX_HEADER]}". '
        f"See the log group {group} in account {route.account} for more information.",
        OriginalStatusCode=status,
        OriginalMessage=message[:MAX_HEADER],
        LogStreamArn=f"arn:aws:logs:{route.region}:{route.account}:log-group:{group}",
    )


def unanswered(route: Route, *, sent: bool, late: bool) -> ServiceError:
    """What a replica's silence becomes: it was too slow, it died over the request, or it never saw it."""
    if late:
        return failure(
            route,
            0,
            f"Your invocation timed out after {TIMEOUT:.0f} seconds while waiting for a response from container primary. "
            "Review the latency metrics of the endpoint and try again.",
        )
    if sent:
        return failure(route, 500, "The container ended while it handled this request; a new one is being started.")
    return unavailable(route.name)


def unavailable(endpoint: str) -> ServiceError:
    """No replica can take a request now."""
    return service.error("unavailable", f"No instance of endpoint {endpoint} can take the request now; try again.")


def not_found(account: str, endpoint: str) -> ServiceError:
    """There is no such endpoint, or it does not serve."""
    return service.error("not_found", f"Endpoint {endpoint} of account {account} not found.")


def too_large() -> ServiceError:
    """The body of a request is longer than AWS takes."""
    refused = service.error("validation", f"HTTP content length exceeded {MAX_BODY} bytes.")
    return ServiceError(refused.code, refused.message, status=413)  # AWS's front door answers before the service does


@lru_cache(maxsize=1024)
def passed_head(content_type: bytes, attributes: bytes, variant: str) -> bytes:
    """The header lines of a good answer, without what a container may not say in a header."""
    kept = [(b"content-type", content_type), (CUSTOM_ATTRIBUTES, attributes)]
    safe = [(name, value) for name, value in kept if value and _UNSAFE.search(value) is None]
    return b"".join(
        [b"%b: %b\r\n" % pair for pair in (*safe, (b"x-amzn-invoked-production-variant", variant.encode()))]
    )


@lru_cache(maxsize=4096)
def metrics(account: str, region: str, endpoint: str, variant: str) -> tuple[tuple[Series, str], ...]:
    """The metrics of one variant with their units, in the order of `measurements`."""
    names = dimensions([("EndpointName", endpoint), ("VariantName", variant)])
    return tuple((Series(account, region, NAMESPACE, name, names), unit) for name, unit in _METRICS)


def measurements(error: ServiceError | None, model: float, overhead: float) -> tuple[float, ...]:
    """The value of each metric; `model` and `overhead` are seconds. Errors count 1 or 0, as on AWS."""
    if error is None:
        return (1.0, model * 1e6, overhead * 1e6, 0.0, 0.0, 0.0)
    status = _status(error)
    refused, failed = float(400 <= status < 500), float(status >= 500)
    return (1.0, model * 1e6, overhead * 1e6, refused, failed, float(error.code == "ModelError"))


def _status(error: ServiceError) -> int:
    """The status that the error metrics count: the container's own, where it gave one."""
    if error.code == "ModelError":
        return int(error.fields["OriginalStatusCode"]) or 500
    return error.status or 500


_METRICS = (  # SageMaker developer guide, "SageMaker endpoint invocation metrics"
    ("Invocations", "Count"),
    ("ModelLatency", "Microseconds"),
    ("OverheadLatency", "Microseconds"),
    ("Invocation4XXErrors", "Count"),
    ("Invocation5XXErrors", "Count"),
    ("InvocationModelErrors", "Count"),
)
