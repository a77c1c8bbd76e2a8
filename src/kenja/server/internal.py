"""The few addresses that are not AWS's: health, credentials of jobs, what tests may do. Everything else is an AWS request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from urllib.parse import parse_qs

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


def _reset(kernel: Kernel, head: Head) -> Response:
    """Empty the account that the query names, or all."""
    chosen = _query(head, "account")
    for account in [chosen] if chosen else kernel.identity.accounts():
        kernel.jobs.gates.release(account)
        kernel.objects.empty(account)
        kernel.logs.empty(account)
        kernel.metrics.empty(account)
        kernel.store.empty(account)
    return _json(200, {"status": "ok"})


def _make_account(kernel: Kernel, _head: Head) -> Response:
    """A new, empty account, with keys of its KenjaExecutionRole."""
    account = kernel.identity.create_account().account
    keys = kernel.identity.execution_role_session(account)
    return _json(
        200,
        {
            "account": account,
            "access_key_id": keys.access_key_id,
            "secret_access_key": keys.secret_access_key,
            "session_token": keys.session_token,
        },
    )


def _hold_jobs(kernel: Kernel, head: Head) -> Response:
    kernel.jobs.gates.hold(_query(head, "account"))
    return _json(200, {"status": "ok"})


def _release_jobs(kernel: Kernel, head: Head) -> Response:
    kernel.jobs.gates.release(_query(head, "account"))
    kernel.jobs.poke()
    return _json(200, {"status": "ok"})


def _step_jobs(kernel: Kernel, head: Head) -> Response:
    """Let the account's held jobs pass a gate, or the one that the query names."""
    stepped = kernel.jobs.gates.step(_query(head, "account"), _query(head, "name"))
    kernel.jobs.poke()
    return _json(200, {"jobs": [asdict(held) for held in stepped]})


def _held_jobs(kernel: Kernel, head: Head) -> Response:
    return _json(200, {"jobs": [asdict(held) for held in kernel.jobs.gates.held(_query(head, "account"))]})


def _for_tests(handler: Callable[[Kernel, Head], Response]) -> Callable[[Kernel, Head], Response]:
    """What a server does only when it was started for tests."""

    def guarded(kernel: Kernel, head: Head) -> Response:
        if not kernel.config.allow_reset:
            return _json(403, {"message": f"{head.path} is for tests; start the server with --allow-reset to open it."})
        return handler(kernel, head)

    return guarded


def _query(head: Head, name: str) -> str:
    return parse_qs(head.query).get(name, [""])[0]


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
    ("POST", "/_kenja/reset"): _for_tests(_reset),
    ("POST", "/moto-api/reset"): _for_tests(_reset),
    ("POST", "/_kenja/accounts"): _for_tests(_make_account),
    ("GET", "/_kenja/jobs"): _for_tests(_held_jobs),
    ("POST", "/_kenja/jobs/hold"): _for_tests(_hold_jobs),
    ("POST", "/_kenja/jobs/release"): _for_tests(_release_jobs),
    ("POST", "/_kenja/jobs/step"): _for_tests(_step_jobs),
}
