"""The gateway: one ASGI application, and the chain that every AWS request passes, on one screen."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from kenja.core import ids, log
from kenja.core.errors import ServiceError
from kenja.kernel import dispatch
from kenja.kernel.context import Context
from kenja.kernel.declare import Service
from kenja.kernel.kernel import Kernel
from kenja.server import internal
from kenja.server.chain import body, cors, errors, form, head, route, signature, streams
from kenja.server.chain.audit import Audit
from kenja.wire.codec import Codec, codec, resolve
from kenja.wire.message import FileRange, Request, Response

THREADS = 32  # handlers that may run at once; a handler mostly waits for the disk
READ = 256 * 1024  # bytes of a file that are sent at once

Result = TypeVar("Result")
Send = Callable[[Any], Awaitable[None]]
_log = log.logger(__name__)


class Gateway:
    """The ASGI application. One per process; its kernel is shared by its threads."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="handler")
        self.streams = ThreadPoolExecutor(streams.STREAMS, thread_name_prefix="stream")
        self.audit = Audit(kernel.config.data / "telemetry" / "audit.log")
        self.closing: list[Callable[[], None]] = []  # what stands on the kernel and ends before it

    async def __call__(self, scope: Any, receive: body.Receive, send: Send) -> None:
        """Answer one request, or the start and stop of the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            request, asked = head.from_asgi(scope), body.Asked(receive)
            try:
                response = await self._answer(request, asked)
                if request.waits_to_send and not asked.once:
                    response.headers["connection"] = "close"  # else the next request would be taken for this one's body
                await self._reply(response, request.method, receive, send)
            except body.Disconnected:
                return  # nobody is left to answer

    async def _answer(self, request: head.Head, receive: body.Receive) -> Response:
        request_id = ids.request_id()
        log.request.set(request_id)
        if internal.owns(request.path):
            return await self._in_thread(internal.answer, self.kernel, request)
        target = route.find(request, self.kernel.services.manifests)
        if target is None:
            return await self._in_thread(errors.no_service, request, request_id)
        name = target.manifest.name
        # a trip to a thread costs more than most handlers, so only the first call of a service makes it
        service = self.kernel.services.loaded(name) or await self._in_thread(self.kernel.services.get, name)
        assert service is not None
        if resolve(service.model, target.protocol) is None:
            return await self._in_thread(errors.no_service, request, request_id)
        wire = codec(service.model, target.protocol)
        if cors.is_preflight(target):
            return await self._in_thread(cors.preflight, self.kernel, wire, target, request_id)
        response = await self._handled(service, wire, request, target, receive, request_id)
        if cors.concerns(target):
            await self._in_thread(cors.mark, self.kernel, target, response)
        return response

    async def _handled(
        self,
        service: Service,
        wire: Codec,
        request: head.Head,
        target: route.Target,
        receive: body.Receive,
        request_id: str,
    ) -> Response:
        """The answer of a request to a service: who calls, its body, its handler."""
        try:
            posted = form.of(target, service)
            signed = signature.NOBODY if posted else signature.verify(self.kernel, request, target)
            spool = posted.spool(self.kernel) if posted else signature.spool(self.kernel, target, signed)
            came = await spool.receive(receive, self.threads) if request.has_body else spool.nothing()
            with body.owned(came) as payload:
                if posted:
                    return await self._in_thread(self._store, service, wire, posted, payload, request_id)
                signature.check_payload(target, signed, payload)
                return await self._in_thread(self._serve, service, wire, target, signed, payload, request_id)
        except body.Disconnected:
            raise
        except Exception as error:
            failure = self._failure(error, target, request_id, "")
            response = errors.response(wire, failure, target, request_id)
            self._note(request_id, "", service.name, "", response.status, failure.code)
            return response

    def _serve(
        self,
        service: Service,
        wire: Codec,
        target: route.Target,
        signed: signature.Authenticated,
        payload: body.Spooled,
        request_id: str,
    ) -> Response:
        """Operation → parse → validate, authorise, handle → serialise; in a handler's thread."""
        operation = ""
        try:
            view = target.head
            content: bytes | body.Spooled = payload if target.manifest.name in signature.UPLOADS else payload.bytes()
            request = Request(view.method, target.path, view.query, dict(view.headers), content)
            found = wire.route(request)
            if found is None:
                raise errors.unknown_operation(target)
            operation, parameters = found
            context = Context(
                self.kernel,
                service,
                operation,
                signed.principal,
                signed.region,
                request_id,
                replace(view.view, body=payload.bytes),
            )
            result = dispatch.invoke(context, wire.parse(operation, request, parameters))
            response = wire.serialize(operation, result, request_id)
            code = ""
        except Exception as error:
            failure = self._failure(error, target, request_id, operation)
            response = errors.response(wire, failure, target, request_id)
            code = failure.code
        self._note(request_id, signed.principal.arn, service.name, operation, response.status, code)
        return response

    def _store(
        self, service: Service, wire: Codec, posted: form.Posted, payload: body.Spooled, request_id: str
    ) -> Response:
        """The answer of a browser's upload; in a handler's thread."""
        caller = code = ""
        try:
            principal, response = posted.store(self.kernel, service, wire, payload, request_id)
            caller = principal.arn
        except Exception as error:
            failure = self._failure(error, posted.target, request_id, form.OPERATION)
            response = errors.response(wire, failure, posted.target, request_id)
            code = failure.code
        self._note(request_id, caller, service.name, form.OPERATION, response.status, code)
        return response

    def _failure(self, error: Exception, target: route.Target, request_id: str, operation: str) -> ServiceError:
        failure = errors.translate(error, target)
        if failure.status == errors.OURS:
            _log.error("%s.%s", target.manifest.name, operation, exc_info=error)
        return failure

    async def _reply(self, response: Response, method: str, receive: body.Receive, send: Send) -> None:
        content = response.body
        headers = [(name.encode("latin-1"), _octets(value)) for name, value in response.headers.items()]
        if isinstance(content, bytes) and "content-length" not in response.headers:
            headers.append((b"content-length", str(len(content)).encode()))
        if isinstance(content, FileRange) and "content-length" not in response.headers:
            headers.append((b"content-length", str(content.length).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if isinstance(content, bytes) or method == "HEAD":
            await send({"type": "http.response.body", "body": content if isinstance(content, bytes) else b""})
            return
        pieces = _pieces(content) if isinstance(content, FileRange) else content
        threads = self.threads if isinstance(content, FileRange) else self.streams
        await streams.send_pieces(pieces, threads, receive, send)

    async def _lifespan(self, receive: body.Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                for close in self.closing:
                    close()
                self.threads.shutdown(wait=True)
                self.streams.shutdown(wait=True)
                self.audit.close()
                self.kernel.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        work = contextvars.copy_context().run  # the request's id goes with it into the thread
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, function, *arguments)

    def _note(self, request_id: str, caller: str, service: str, operation: str, status: int, code: str) -> None:
        self.audit.record(self.kernel.clock.wall(), request_id, caller, service, operation, status, code)
        if _log.isEnabledFor(logging.INFO):
            facts = {"service": service, "operation": operation, "status": status, "code": code, "principal": caller}
            _log.info("%s.%s %d %s", service, operation, status, code, extra={"facts": facts})


def _octets(value: str) -> bytes:
    """A header's value; what ISO-8859-1 has no way to write goes out as UTF-8 rather than not at all."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def _pieces(content: FileRange) -> Iterator[bytes]:
    with content.path.open("rb") as file:
        file.seek(content.offset)
        left = content.length
        while left > 0 and (piece := file.read(min(READ, left))):
            left -= len(piece)
            yield piece
