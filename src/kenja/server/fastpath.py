"""InvokeEndpoint without ASGI: httptools → signature → routing table → frames → answer, on uvicorn's own connections.

Everything else a connection carries goes the usual way; pipelined requests of both kinds are answered in their order.
Nothing here touches the disk; audit lines and metrics are queued behind the answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from kenja.core import ids
from kenja.core.errors import ServiceError
from kenja.core.log import logger
from kenja.kernel.context import Principal
from kenja.kernel.hosting.exchange import Exchange
from kenja.kernel.hosting.routes import Route
from kenja.kernel.identity.refusals import refusal
from kenja.kernel.kernel import Kernel
from kenja.kernel.telemetry.recorder import Recorder
from kenja.server.app import Gateway
from kenja.services.sagemaker_runtime import semantics
from kenja.services.sagemaker_runtime.service import service
from kenja.wire.codec import codec
from kenja_worker.modelserver.frames import Frame

LARGE = 64 * 1024  # bytes of a body from which it is hashed in a thread; 45 µs at 1.4 GB/s
PATIENCE = 60.0  # seconds for a request's body to arrive
MAX_DROPPED = 64 * 1024 * 1024  # bytes of a refused body that are read before the connection is closed
ALLOWED = 1.0  # seconds for which a decision of the policies is remembered
SIGNED = b"/sagemaker/aws4_request"
_PREFIX, _SUFFIX = b"/endpoints/", b"/invocations"
_NAME = re.compile(rb"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_ACTION = "sagemaker:InvokeEndpoint"
_NOBODY = Principal("", "", "")
_log = logger(__name__)


class FastPath:
    """What all connections of a gateway share. Made inside its event loop, which alone uses it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.kernel: Kernel = gateway.kernel
        self.loop = asyncio.get_running_loop()
        self.exchange = Exchange(self.loop)
        self.recorder = Recorder(self.kernel.metrics, self.kernel.clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._allowed: dict[tuple[str, str, str], float] = {}
        self._epoch = -1
        self.kernel.routes.watch()
        gateway.closing.append(self.close)

    def close(self) -> None:
        """End the connections to replicas and write the metrics that wait."""
        self.exchange.close()
        self.recorder.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what has to wait for a thread."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def in_thread(self, function: Any, *arguments: Any) -> Any:
        """A result from one of the gateway's threads."""
        return await self.loop.run_in_executor(self.gateway.threads, function, *arguments)

    def authorize(self, principal: Principal, region: str, name: str) -> None:
        """Raises AccessDeniedException. A decision holds for ALLOWED seconds."""
        key = (principal.arn, region, name)
        now = self.loop.time()
        if self._allowed.get(key, 0.0) > now:
            return
        arn = f"arn:aws:sagemaker:{region}:{principal.account}:endpoint/{name.lower()}"
        if not self.kernel.identity.decide(principal, _ACTION, arn).allowed:
            who = principal.arn
            message = f"User: {who} is not authorized to perform: {_ACTION} on resource: {arn}"
            raise service.error("denied", message)
        if len(self._allowed) > 4096:
            self._allowed.clear()
        self._allowed[key] = now + ALLOWED

    def find(self, account: str, region: str, name: str) -> Route | None:
        """The route, from memory; lines to replicas that no route names any more are closed on the way."""
        routes = self.kernel.routes
        if routes.epoch != self._epoch:
            self._epoch = routes.epoch
            self.exchange.keep(routes.sockets())
        return routes.find(account, region, name)


class _NoEvent:
    """Stands where uvicorn's cycle has an event that nobody waits for here."""

    def set(self) -> None: ...


class Call:
    """One invocation on a connection; has the members of uvicorn's cycle that its protocol touches."""

    message_event = _NoEvent()

    def __init__(self, protocol: Connection, name: str, headers: dict[bytes, bytes], *, keep_alive: bool) -> None:
        self.protocol = protocol
        self.fast = protocol.fast
        self.name = name
        self.headers = headers
        self.keep_alive = keep_alive
        self.parts: list[bytes] = []
        self.size = 0
        self.body = b""
        self.expects = headers.get(b"expect", b"").lower() == b"100-continue"
        self.complete = self.begun = self.response_complete = self.disconnected = self.refreshed = False
        self.request_id = ids.request_id()
        self.principal = _NOBODY
        self.route: Route | None = None
        self.avoid: list[Path] = []
        self.socket: Path | None = None
        self.received = self.asked = 0.0
        self.timer: asyncio.TimerHandle | None = None

    # The request

    def begin(self) -> None:
        """It is this call's turn on its connection."""
        self.begun = True
        announced = self.headers.get(b"content-length", b"0")
        if int(announced) > semantics.MAX_BODY or self.size > semantics.MAX_BODY:
            self.keep_alive = self.keep_alive and not self.expects
            self.refuse(semantics.too_large())
        elif self.complete:
            self.process()
        else:
            self.timer = self.fast.loop.call_later(PATIENCE, self.impatient)
            if self.expects:
                self.protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def feed(self, data: bytes) -> None:
        """More of the body."""
        self.size += len(data)
        if self.response_complete or self.size > semantics.MAX_BODY:
            self.parts.clear()
            if self.size > MAX_DROPPED:
                self.protocol.transport.close()
            elif self.begun and not self.response_complete:
                self.refuse(semantics.too_large())
            return
        self.parts.append(data)

    def end(self) -> None:
        """The body is complete."""
        self.complete = True
        self.received = self.fast.kernel.clock.monotonic()
        if self.timer is not None:
            self.timer.cancel()
        if self.begun and not self.response_complete:
            self.process()

    def impatient(self) -> None:
        """The body did not come."""
        self.keep_alive = False
        error = ServiceError(
            "RequestTimeout", f"The request's body did not arrive within {PATIENCE:.0f} s.", status=408
        )
        self.refuse(error)

    # The way through

    def process(self) -> None:
        """Verify, route and ask."""
        self.body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        self.parts = []
        if len(self.body) > LARGE:
            self.fast.spawn(self.verify_in_thread())
            return
        try:
            region = self.verify()
            self.dispatch(region)
        except Exception as error:
            self.fail(error)

    async def verify_in_thread(self) -> None:
        try:
            self.dispatch(await self.fast.in_thread(self.verify))
        except Exception as error:
            self.fail(error)

    def verify(self) -> str:
        """Who calls; the region that the signature names. Raises ServiceError."""
        if b"authorization" not in self.headers:
            raise refusal("rest-json", "missing", "Request is missing Authentication Token")
        path = f"/endpoints/{self.name}/invocations"
        self.principal, region = self.fast.kernel.identity.verify_fast("POST", path, "", self.headers, self.body)
        return region

    def dispatch(self, region: str) -> None:
        """Find the route and ask. Raises ServiceError."""
        self.fast.authorize(self.principal, region, self.name)
        route = self.fast.find(self.principal.account, region, self.name)
        if route is None or not route.sockets:
            self.fast.spawn(self.look_up(region))
        else:
            self.ask(route)

    async def look_up(self, region: str, tried: Route | None = None) -> None:
        """The endpoint, or the replicas that it has now, may be so new that only the store knows them."""
        try:
            self.refreshed = True
            account = self.principal.account
            find = self.fast.kernel.routes.lookup
            route = await self.fast.in_thread(find, account, region, self.name, tried)
            if route is None:
                raise semantics.not_found(account, self.name)
            self.ask(route)
        except Exception as error:
            self.fail(error)

    def ask(self, route: Route) -> None:
        """Give the request to a replica. Raises ServiceError."""
        self.route = route
        request = semantics.request(route, self.headers, self.body)
        self.asked = self.fast.kernel.clock.monotonic()
        self.socket = self.fast.exchange.send(route.sockets, request, self, self.avoid)
        if self.socket is not None:
            return
        if self.refreshed:
            raise semantics.unavailable(route.name)
        self.fast.spawn(self.look_up(route.region, route))

    def answered(self, answer: Frame) -> None:
        """The replica's answer."""
        assert self.route is not None
        try:
            semantics.checked(self.route, answer)
        except ServiceError as error:
            self.fail(error)
            return
        self.reply(200, semantics.passed_headers(self.route, answer), answer.body)
        self.note(None)

    def failed(self, *, sent: bool, late: bool) -> None:
        """The replica is gone, or too slow; what it never saw may be asked of another."""
        assert self.route is not None
        try:
            if sent:
                raise semantics.unanswered(self.route, sent=True, late=late)
            if self.socket is not None:
                self.avoid.append(self.socket)
            self.ask(self.route)
        except Exception as error:
            self.fail(error)

    # The answer

    def fail(self, error: Exception) -> None:
        """Tell the caller what went wrong; our own bugs as an internal failure."""
        if not isinstance(error, ServiceError):
            _log.error("request %s: sagemaker-runtime.InvokeEndpoint", self.request_id, exc_info=error)
            error = ServiceError(
                "InternalFailure", "Kenja failed on this request; its log tells why under the request id.", status=500
            )
        self.refuse(error)

    def refuse(self, error: ServiceError) -> None:
        """Answer with an error."""
        if self.response_complete:
            return
        response = codec(service.model, "rest-json").error(
            error.code, error.message, fields=dict(error.fields), status=error.status, request_id=self.request_id,
            operation="InvokeEndpoint", method="POST",
        )  # fmt: skip
        assert isinstance(response.body, bytes)
        kept = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in response.headers.items()
            if name.lower() not in ("content-length", "x-amzn-requestid")
        ]
        self.reply(response.status, kept, response.body)
        self.note(error)

    def reply(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Write the answer and let the connection go on with the next request."""
        if self.response_complete:
            return
        self.response_complete = True
        if self.timer is not None:
            self.timer.cancel()
        protocol = self.protocol
        lines = [b"%b: %b\r\n" % pair for pair in (*protocol.server_state.default_headers, *headers)]
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"%bx-amzn-requestid: %b\r\n%bcontent-length: %d\r\n\r\n" % (
            STATUS_LINE[status], self.request_id.encode(), b"".join(lines), len(body),
        )  # fmt: skip
        if not protocol.transport.is_closing():
            protocol.transport.write(head + body)
            if not self.keep_alive:
                protocol.transport.close()
        protocol.on_response_complete()

    def note(self, error: ServiceError | None) -> None:
        """Queue the audit line and the metrics."""
        status, code = (200, "") if error is None else (error.status or 500, error.code)
        fast, route = self.fast, self.route
        fast.gateway.audit.record(
            fast.kernel.clock.wall(), self.request_id, self.principal.arn, service.name, "InvokeEndpoint", status, code
        )
        if route is None:
            return
        now = fast.kernel.clock.monotonic()
        model = now - self.asked if self.asked else 0.0
        overhead = max(0.0, (self.asked or now) - self.received)
        columns = semantics.metrics(route.account, route.region, route.name, route.variant)
        fast.recorder.record_row(columns, semantics.measurements(error, model, overhead))


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with a second kind of request on it."""

    cycle: Any  # a Call or uvicorn's RequestResponseCycle

    def __init__(self, fast: FastPath, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.fast = fast

    def on_headers_complete(self) -> None:
        call = self._call()
        if call is None:
            super().on_headers_complete()
            return
        before, self.cycle = self.cycle, call
        if before is None or before.response_complete:
            call.begin()
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((call, self.app))  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        if isinstance(self.cycle, Call):
            self.cycle.feed(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if isinstance(self.cycle, Call):
            self.cycle.end()
        else:
            super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if isinstance(cycle, Call):
            self.loop.call_soon(cycle.begin)  # not now: thousands of refused ones in a row would be as many frames deep
        else:
            super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        cycles = [cycle for cycle, _ in self.pipeline]
        for cycle in (self.cycle, *cycles):
            if isinstance(cycle, Call) and cycle.timer is not None:
                cycle.timer.cancel()
        super().connection_lost(exc)

    def _call(self) -> Call | None:
        """The invocation that the head announces, or None for everything that is not the fast path's."""
        url = self.url
        if not url.startswith(_PREFIX) or not url.endswith(_SUFFIX) or self.parser.get_method() != b"POST":
            return None
        name = url[len(_PREFIX) : -len(_SUFFIX)]
        if _NAME.fullmatch(name) is None:
            return None
        headers = dict(self.headers)
        if len(headers) != len(self.headers):
            headers = _joined(self.headers)
        authorization = headers.get(b"authorization")
        if authorization is not None and SIGNED not in authorization:
            return None
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        return Call(self, name.decode(), headers, keep_alive=keep_alive)


def _joined(pairs: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        headers[name] = headers[name] + b"," + value if name in headers else value
    return headers


def protocol(fast: FastPath) -> Any:
    """What uvicorn makes its connections with."""
    return partial(Connection, fast)
