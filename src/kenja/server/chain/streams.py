"""Answers that are made while they are sent: a piece at a time, from threads, until they end or the client goes away."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from typing import Any

from kenja.server.chain.body import Receive

STREAMS = 128  # answers that may be made at once; one that waits for its next event holds a thread

Send = Callable[[Any], Awaitable[None]]


async def send_pieces(pieces: Iterator[bytes], threads: Executor, receive: Receive, send: Send) -> None:
    """Send every piece as soon as it is there; `pieces` is closed at the end, also when nobody is left to read it.

    A piece that is being made when the client goes away is waited for, since a generator can not be closed meanwhile.
    """
    loop, run = asyncio.get_running_loop(), contextvars.copy_context().run  # the request's id goes into the thread
    gone = asyncio.ensure_future(_disconnected(receive))
    making: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            making = loop.run_in_executor(threads, lambda: run(next, pieces, None))
            await asyncio.wait((making, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                return
            piece = making.result()
            if piece is None:
                break
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        if making is not None and not making.done():
            await asyncio.wait((making,))
        if close := getattr(pieces, "close", None):
            await loop.run_in_executor(threads, run, close)


async def _disconnected(receive: Receive) -> None:
    """Returns when the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        continue
