"""InvokeEndpoint without ASGI: httptools → signature → routing table → frames → answer, on uvicorn's own connections.

Everything else a connection carries goes the usual way; pipelined requests of both kinds are answered in their order.
Nothing here touches the disk; audit lines and metrics are queued behind the answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kenja.core.ids import RequestIds
from kenja.kernel.context import Principal
from kenja.kernel.hosting.exchange import Exchange
from kenja.kernel.hosting.routes import Fork
from kenja.kernel.kernel import Kernel
from kenja.kernel.telemetry.recorder import Recorder
from kenja.server.app import Gateway
from kenja.server.invocation import Call
from kenja.services.sagemaker_runtime.service import service

ALLOWED = 1.0  # seconds for which a decision of the policies is remembered
SIGNED = b"/sagemaker/aws4_request"
_PREFIX, _SUFFIX = b"/endpoints/", b"/invocations"
_NAME = re.compile(rb"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_MOST = 4096  # entries of each memory; a full one starts anew
_ACTION = "sagemaker:InvokeEndpoint"


class FastPath:
    """What all connections of a gateway share. Made inside its event loop, which alone uses it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.kernel: Kernel = gateway.kernel
        self.loop = asyncio.get_running_loop()
        self.exchange = Exchange(self.loop)
        self.recorder = Recorder(self.kernel.metrics, self.kernel.clock)
        self.request_ids = RequestIds()
        self._names: dict[bytes, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._allowed: dict[tuple[str, str, str], float] = {}
        self._epoch = -1
        self._defaults: tuple[object, bytes] = (None, b"")
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
        if len(self._allowed) >= _MOST:
            self._allowed.clear()
        self._allowed[key] = now + ALLOWED

    def default_lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """uvicorn's default headers as lines. It makes a new list when they change, once a second."""
        known, lines = self._defaults
        if known is not headers:
            lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
            self._defaults = (headers, lines)
        return lines

    def name(self, url: bytes) -> str | None:
        """The endpoint that a target invokes; None when it is no invocation."""
        name = self._names.get(url)
        if name is None and url.startswith(_PREFIX) and url.endswith(_SUFFIX):
            raw = url[len(_PREFIX) : -len(_SUFFIX)]
            if _NAME.fullmatch(raw) is not None:
                if len(self._names) >= _MOST:
                    self._names.clear()
                self._names[url] = name = raw.decode()
        return name

    def find(self, account: str, region: str, name: str) -> Fork | None:
        """The ways, from memory; lines to replicas that no route names any more are closed on the way."""
        routes = self.kernel.routes
        if routes.epoch != self._epoch:
            self._epoch = routes.epoch
            self.exchange.keep(routes.sockets())
        return routes.find(account, region, name)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with a second kind of request on it."""

    cycle: Any  # a Call or uvicorn's RequestResponseCycle

    def __init__(self, fast: FastPath, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.fast = fast
        self.idle_since = 0.0  # loop time of the last answer; 0 while a request arrives or is answered

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle = self.cycle
        if isinstance(cycle, Call) and not cycle.complete:
            cycle.watch()

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        call = self._call()
        if call is None:
            came = (self.url, self.expect_100_continue, self.headers)
            super().on_message_begin()  # makes the scope, which a call does not need
            self.url, self.expect_100_continue, self.headers = came
            self.scope["headers"] = self.headers
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

    def on_response_complete(self) -> None:
        """As uvicorn's, but for one timer of the connection that lives on, instead of one for each answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self.idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._await_next(self.timeout_keep_alive)

    def _await_next(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _unset_keepalive_if_required(self) -> None:
        self.idle_since = 0.0

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self.transport.is_closing() or not self.idle_since:
            return  # the next answer starts the time again
        left = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._await_next(left)
        else:
            self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if isinstance(cycle, Call):
            # not now: thousands of refused ones in a row would be as many frames deep
            self.loop.call_soon(cycle.resume)
        else:
            super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        cycles = [cycle for cycle, _ in self.pipeline]
        for cycle in (self.cycle, *cycles):
            if isinstance(cycle, Call) and cycle.timer is not None:
                cycle.timer.cancel()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        super().connection_lost(exc)

    def _call(self) -> Call | None:
        """The invocation that the head announces, or None for everything that is not the fast path's."""
        name = self.fast.name(self.url)
        if name is None or self.parser.get_method() != b"POST":
            return None
        headers = dict(self.headers)
        if len(headers) != len(self.headers):
            headers = _joined(self.headers)
        authorization = headers.get(b"authorization")
        if authorization is not None and SIGNED not in authorization:
            return None
        keep_alive = self.parser.should_keep_alive()
        if keep_alive and b"connection" in headers:  # only with this header HTTP/1.0 asks for it, which is not granted
            keep_alive = self.parser.get_http_version() != "1.0"
        return Call(self, name, headers, keep_alive=keep_alive)


def _joined(pairs: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        headers[name] = headers[name] + b"," + value if name in headers else value
    return headers
