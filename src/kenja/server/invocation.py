"""One InvokeEndpoint request on a connection of the fast path: signature → route → frames → answer. The connections are fastpath.py's.

Nothing here touches the disk; audit lines and metrics are queued behind the answer.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from kenja.core.errors import ServiceError
from kenja.core.log import logger
from kenja.kernel.context import Principal
from kenja.kernel.hosting.routes import Route
from kenja.kernel.identity.refusals import refusal
from kenja.services.sagemaker_runtime import semantics
from kenja.services.sagemaker_runtime.service import service
from kenja.wire.codec import codec
from kenja_worker.modelserver.frames import Frame

if TYPE_CHECKING:
    from kenja.server.fastpath import Connection

LARGE = 64 * 1024  # bytes of a body from which it is hashed in a thread; 45 µs at 1.4 GB/s
PATIENCE = 60.0  # seconds for a request's body to arrive
MAX_DROPPED = 64 * 1024 * 1024  # bytes of a refused body that are read before the connection is closed
_NOBODY = Principal("", "", "")
_log = logger(__name__)


class _NoEvent:
    """Stands where uvicorn's cycle has an event that nobody waits for here."""

    def set(self) -> None: ...


class Call:
    """One invocation on a connection; has the members of uvicorn's cycle that its protocol touches."""

    message_event = _NoEvent()
    size = 0
    body = b""  # what has arrived of it, while `parts` is None
    parts: list[bytes] | None = None
    complete = begun = response_complete = disconnected = refreshed = False
    principal = _NOBODY
    route: Route | None = None
    avoid: tuple[Path, ...] = ()
    socket: Path | None = None
    received = asked = 0.0
    timer: asyncio.TimerHandle | None = None

    def __init__(self, protocol: Connection, name: str, headers: dict[bytes, bytes], *, keep_alive: bool) -> None:
        self.protocol = protocol
        self.fast = protocol.fast
        self.name = name
        self.headers = headers
        self.keep_alive = keep_alive
        self.expects = b"expect" in headers and headers[b"expect"].lower() == b"100-continue"
        self.request_id = self.fast.request_ids.next()

    # The request

    def begin(self) -> None:
        """It is this call's turn on its connection."""
        self.begun = True
        announced = self.headers.get(b"content-length", b"0")
        if self.size > semantics.MAX_BODY or int(announced) > semantics.MAX_BODY:
            self.keep_alive = self.keep_alive and not self.expects
            self.refuse(semantics.too_large())
        elif self.complete:
            self.process()
        elif self.expects:
            self.protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def resume(self) -> None:
        """It is this call's turn, after others on its connection."""
        self.begin()
        self.watch()

    def watch(self) -> None:
        """Wait no longer than PATIENCE for a body of which all that has arrived was fed; most arrive with their head."""
        if self.begun and not self.complete and not self.response_complete and self.timer is None:
            self.timer = self.fast.loop.call_later(PATIENCE, self.impatient)

    def feed(self, data: bytes) -> None:
        """More of the body."""
        self.size += len(data)
        if self.response_complete or self.size > semantics.MAX_BODY:
            self.body, self.parts = b"", None
            if self.size > MAX_DROPPED:
                self.protocol.transport.close()
            elif self.begun and not self.response_complete:
                self.refuse(semantics.too_large())
            return
        if self.parts is not None:
            self.parts.append(data)
        elif self.body:
            self.parts = [self.body, data]
        else:
            self.body = data

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
        if self.parts is not None:
            self.body, self.parts = b"".join(self.parts), None
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
        fork = self.fast.find(self.principal.account, region, self.name)
        if fork is not None:
            route = semantics.choose(fork, self.headers)
            if route.sockets:
                self.ask(route)
                return
        self.fast.spawn(self.look_up(region))

    async def look_up(self, region: str, tried: Route | None = None) -> None:
        """The endpoint, or the replicas that it has now, may be so new that only the store knows them."""
        try:
            self.refreshed = True
            account = self.principal.account
            find = self.fast.kernel.routes.lookup
            fork = await self.fast.in_thread(find, account, region, self.name, tried)
            if fork is None:
                raise semantics.not_found(account, self.name)
            self.ask(semantics.choose(fork, self.headers))
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
        passed = semantics.passed_head(answer.content_type, answer.custom_attributes, self.route.variant)
        self.reply(200, passed, answer.body)
        self.note(None)

    def failed(self, *, sent: bool, late: bool) -> None:
        """The replica is gone, or too slow; what it never saw may be asked of another."""
        assert self.route is not None
        try:
            if sent:
                raise semantics.unanswered(self.route, sent=True, late=late)
            if self.socket is not None:
                self.avoid = (*self.avoid, self.socket)
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
            method="POST",
        )  # fmt: skip
        assert isinstance(response.body, bytes)
        kept = [
            f"{name.lower()}: {value}\r\n"
            for name, value in response.headers.items()
            if name.lower() not in ("content-length", "x-amzn-requestid")
        ]
        self.reply(response.status, "".join(kept).encode("latin-1"), response.body)
        self.note(error)

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Write the answer and let the connection go on with the next request. `headers` are whole lines."""
        if self.response_complete:
            return
        self.response_complete = True
        if self.timer is not None:
            self.timer.cancel()
        protocol = self.protocol
        head = b"%bx-amzn-requestid: %b\r\n%b%b%bcontent-length: %d\r\n\r\n" % (
            STATUS_LINE[status], self.request_id.encode(), self.fast.default_lines(protocol.server_state.default_headers),
            headers, b"" if self.keep_alive else b"connection: close\r\n", len(body),
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
