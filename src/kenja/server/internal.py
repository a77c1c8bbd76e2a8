"""The few addresses that are not AWS's: health, reset, and the credentials of jobs. Everything else is an AWS request."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from kenja.core.errors import ServiceError
from kenja.kernel.kernel import Kernel
from kenja.server.chain.head import Head
from kenja.wire.message import Response

CREDENTIALS = "/_kenja/credentials/"
_OWN = ("/_kenja/", "/moto-api/")


def owns(path: str) -> bool:
    """True for a path that no AWS service has."""
    return path.startswith(_OWN)


def answer(kernel: Kernel, head: Head) -> Response:
    """The answer to one of our own addresses; runs in a thread."""
    if head.path.startswith(CREDENTIALS):
        return _credentials(kernel, head)
    handler = _ROUTES.get((head.method, head.path))
    if handler is None:
        return _json(404, {"message": f"There is no {head.method} {head.path}."})
    return handler(kernel, head)


def _health(_kernel: Kernel, _head: Head) -> Response:
    return _json(200, {"status": "ready"})


def _reset(kernel: Kernel, _head: Head) -> Response:
    if not kernel.config.allow_reset:
        return _json(403, {"message": "Reset is off; start the server with --allow-reset to empty accounts."})
    for account in kernel.identity.accounts():
        kernel.objects.empty(account)
        kernel.logs.empty(account)
        kernel.metrics.empty(account)
        kernel.store.empty(account)
    return _json(200, {"status": "ok"})


def _credentials(kernel: Kernel, head: Head) -> Response:
    """What botocore's container provider reads; the token in the Authorization header is the job's own."""
    try:
        found = kernel.identity.container_credentials(
            head.path.removeprefix(CREDENTIALS), head.headers.get("authorization", "")
        )
    except ServiceError as error:
        return _json(error.status or 403, {"code": error.code, "message": error.message})
    return _json(200, found)


def _json(status: int, value: object) -> Response:
    return Response(status, {"content-type": "application/json"}, orjson.dumps(value))


_ROUTES: dict[tuple[str, str], Callable[[Kernel, Head], Response]] = {
    ("GET", "/_kenja/health"): _health,
    ("POST", "/_kenja/reset"): _reset,
    ("POST", "/moto-api/reset"): _reset,
}
