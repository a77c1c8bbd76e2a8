"""The gateway's side of the framed sockets: many requests in flight on one connection per replica. One event loop's own.

A replica that dies costs the requests that it holds; one that was not written yet may be sent to another replica.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from kenja.kernel.hosting.asking import connect
from kenja_worker.modelserver.frames import Frame, FrameError, FrameReader, invocation

TIMEOUT = 60.0  # seconds for an answer; SageMaker Runtime API reference, InvokeEndpoint
SWEEP = 0.5  # seconds between two looks for requests that are late
COPY = 16 * 1024  # bytes of a body up to which it is cheaper to copy than to write it by itself
MAX_PENDING = 256 * 1024 * 1024  # bytes of bodies that wait for one replica; more are refused
_AGAIN = 0.1  # seconds before a replica that refused a connection is asked again
_MAX_ID = 0xFFFFFFFF


class Request(NamedTuple):
    """What a replica is asked; text as it stood in the HTTP headers."""

    body: bytes
    content_type: bytes = b""
    accept: bytes = b""
    custom_attributes: bytes = b""


class Receiver(Protocol):
    """Who waits for an answer. Exactly one of the two is called, once, for every request that was taken."""

    def answered(self, answer: Frame) -> None: ...
    def failed(self, *, sent: bool, late: bool) -> None: ...


class _Line(asyncio.Protocol):
    """The connection to one replica, made when it is needed."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.pending: dict[int, tuple[Receiver, float, int]] = {}  # id -> receiver, deadline, bytes
        self.bytes = 0
        self._path = path
        self._loop = loop
        self._transport: Any = None
        self._opening: asyncio.Task[Any] | None = None
        self._reader = FrameReader()
        self._unsent: list[bytes] = []
        self._unsent_ids: list[int] = []
        self._last = 0
        self._refused = 0.0  # loop time until which no connection is tried

    def usable(self) -> bool:
        """True when it is connected or now begins to be."""
        if self._transport is not None or self._opening is not None:
            return True
        if self._loop.time() < self._refused:
            return False
        try:
            line = connect(self._path)
        except OSError:
            self._refused = self._loop.time() + _AGAIN
            return False
        self._opening = self._loop.create_task(self._open(line))
        return True

    def send(self, request: Request, receiver: Receiver) -> None:
        """Queue a request; all that are queued in one turn of the loop are written at once."""
        self._last = number = self._last % _MAX_ID + 1
        size = len(request.body)
        before = invocation(number, size, *request[1:])
        if size > COPY:
            self._unsent += (before, request.body)
        else:
            self._unsent.append(before + request.body)
        self.pending[number] = (receiver, self._loop.time() + TIMEOUT, size)
        self.bytes += size
        if not self._unsent_ids and self._transport is not None:
            self._loop.call_soon(self._flush)
        self._unsent_ids.append(number)

    def expire(self, now: float) -> None:
        """Give up requests whose time is over; their answers, should they come, are ignored."""
        for number, (receiver, deadline, size) in list(self.pending.items()):
            if deadline > now:
                return
            del self.pending[number]
            self.bytes -= size
            receiver.failed(sent=True, late=True)

    def close(self) -> None:
        """End the connection; what waits is failed."""
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._lost()

    async def _open(self, line: Any) -> None:
        try:
            await self._loop.create_unix_connection(lambda: self, sock=line)
        except OSError:
            self._refused = self._loop.time() + _AGAIN
            self._lost()
        finally:
            self._opening = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._reader = FrameReader()
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            frames = self._reader.feed(data)
        except FrameError:
            self._transport.abort()
            return
        pending = self.pending
        for frame in frames:
            found = pending.pop(frame.id, None)
            if found is not None:
                self.bytes -= found[2]
                found[0].answered(frame)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._lost()

    def _flush(self) -> None:
        if self._transport is not None and self._unsent:
            unsent, self._unsent = self._unsent, []
            self._unsent_ids.clear()
            if len(unsent) == 1:
                self._transport.write(unsent[0])
            else:
                self._transport.writelines(unsent)

    def _lost(self) -> None:
        pending, self.pending = self.pending, {}
        unsent = set(self._unsent_ids)
        self._unsent, self._unsent_ids, self.bytes = [], [], 0
        for number, (receiver, _, _) in pending.items():
            receiver.failed(sent=number not in unsent, late=False)


class Exchange:
    """Lines to all replicas that were asked so far. `send` chooses the one with the fewest requests in flight."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: dict[Path, _Line] = {}
        self._turn = 0
        self._timer = loop.call_later(SWEEP, self._sweep)

    def send(
        self, sockets: Sequence[Path], request: Request, receiver: Receiver, avoid: Collection[Path] = ()
    ) -> Path | None:
        """Give a request to a replica; its socket, or None when none of them can take it."""
        best: _Line | None = None
        place: Path | None = None
        self._turn += 1
        for number in range(len(sockets)):
            # of replicas with equally little to do, another each time
            socket = sockets[(number + self._turn) % len(sockets)]
            if avoid and socket in avoid:
                continue
            line = self._lines.get(socket)
            if line is None:
                line = self._lines[socket] = _Line(socket, self._loop)
            if (
                line.usable()
                and line.bytes + len(request.body) <= MAX_PENDING
                and (best is None or len(line.pending) < len(best.pending))
            ):
                best, place = line, socket
        if best is not None:
            best.send(request, receiver)
        return place

    def keep(self, sockets: Collection[Path]) -> None:
        """Close the lines to replicas that are routed to no longer, once they have answered."""
        for socket, line in list(self._lines.items()):
            if socket not in sockets and not line.pending:
                del self._lines[socket]
                line.close()

    def close(self) -> None:
        """End all connections."""
        self._timer.cancel()
        for line in self._lines.values():
            line.close()
        self._lines.clear()

    def _sweep(self) -> None:
        now = self._loop.time()
        for line in list(self._lines.values()):
            line.expire(now)
        self._timer = self._loop.call_later(SWEEP, self._sweep)
