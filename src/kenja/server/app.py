"""The gateway: one ASGI application, and the chain that every AWS request passes, on one screen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from kenja.core import ids
from kenja.core.errors import ServiceError
from kenja.core.log import logger
from kenja.kernel import dispatch
from kenja.kernel.context import Context
from kenja.kernel.declare import Service
from kenja.kernel.kernel import Kernel
from kenja.server import internal
from kenja.server.chain import body, errors, head, route, signature
from kenja.server.chain.audit import Audit
from kenja.wire.codec import Codec, codec, resolve
from kenja.wire.message import FileRange, Request, Response

THREADS = 32  # handlers that may run at once; a handler mostly waits for the disk
READ = 256 * 1024  # bytes of a file that are sent at once

Result = TypeVar("Result")
Send = Callable[[Any], Awaitable[None]]
_log = logger(__name__)


class Gateway:
    """The ASGI application. One per process; its kernel is shared by its threads."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="handler")
        self.audit = Audit(kernel.config.data / "telemetry" / "audit.log")
        self.closing: list[Callable[[], None]] = []  # what stands on the kernel and ends before it

    async def __call__(self, scope: Any, receive: body.Receive, send: Send) -> None:
        """Answer one request, or the start and stop of the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            try:
                await self._reply(await self._answer(head.from_asgi(scope), receive), scope["method"], send)
            except body.Disconnected:
                return  # nobody is left to answer

    async def _answer(self, request: head.Head, receive: body.Receive) -> Response:
        request_id = ids.request_id()
        if internal.owns(request.path):
            return await self._in_thread(internal.answer, self.kernel, request)
        target = route.find(request, self.kernel.services.manifests)
        if target is None:
            return errors.no_service(request, request_id)
        service = await self._in_thread(self.kernel.services.get, target.manifest.name)
        assert service is not None
        if resolve(service.model, target.protocol) is None:
            return errors.no_service(request, request_id)
        wire = codec(service.model, target.protocol)
        try:
            signed = signature.verify(self.kernel, request, target.manifest)  # a pin is part of what was signed
            spool = signature.spool(self.kernel, target, signed)
            with body.owned(await spool.receive(receive, self.threads)) as payload:
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
            request = Request(view.method, view.path, view.query, dict(view.headers), content)
            found = wire.route(request)
            if found is None:
                raise errors.unknown_operation(target)
            operation, parameters = found
            context = Context(
                self.kernel, service, operation, signed.principal, signed.region, request_id, target.head.view
            )
            result = dispatch.invoke(context, wire.parse(operation, request, parameters))
            response = wire.serialize(operation, result, request_id)
            code = ""
        except Exception as error:
            failure = self._failure(error, target, request_id, operation)
            response = errors.response(wire, failure, target, request_id, operation)
            code = failure.code
        self._note(request_id, signed.principal.arn, service.name, operation, response.status, code)
        return response

    def _failure(self, error: Exception, target: route.Target, request_id: str, operation: str) -> ServiceError:
        failure = errors.translate(error, target)
        if failure.status == errors.OURS:
            _log.error("request %s: %s.%s", request_id, target.manifest.name, operation, exc_info=error)
        return failure

    async def _reply(self, response: Response, method: str, send: Send) -> None:
        content = response.body
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
        if isinstance(content, bytes) and "content-length" not in response.headers:
            headers.append((b"content-length", str(len(content)).encode()))
        if isinstance(content, FileRange) and "content-length" not in response.headers:
            headers.append((b"content-length", str(content.length).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if isinstance(content, bytes) or method == "HEAD":
            await send({"type": "http.response.body", "body": content if isinstance(content, bytes) else b""})
            return
        pieces = _pieces(content) if isinstance(content, FileRange) else content
        while (piece := await self._in_thread(next, pieces, None)) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _lifespan(self, receive: body.Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                for close in self.closing:
                    close()
                self.threads.shutdown(wait=True)
                self.audit.close()
                self.kernel.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, *arguments)

    def _note(self, request_id: str, caller: str, service: str, operation: str, status: int, code: str) -> None:
        self.audit.record(self.kernel.clock.wall(), request_id, caller, service, operation, status, code)


def _pieces(content: FileRange) -> Iterator[bytes]:
    with content.path.open("rb") as file:
        file.seek(content.offset)
        left = content.length
        while left > 0 and (piece := file.read(min(READ, left))):
            left -= len(piece)
            yield piece
