"""A request's body: small ones in memory, large ones in a file of the object store's incoming folder; hashed on the way.

Nothing here trusts the client: sizes are bounded, `aws-chunked` is undone, and the payload hash that the signature
covers is compared before a handler sees the body.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from kenja.core import ids
from kenja.core.errors import ServiceError

MEMORY = 256 * 1024  # bytes of a body that stay in memory
BATCH = 1024 * 1024  # bytes that are handed to a thread at once
SILENCE = 60.0  # seconds that a client may pause inside a body; S3 API Reference, "RequestTimeout"
Receive = Callable[[], Awaitable[Any]]


class Disconnected(Exception):  # noqa: N818 - what the client did
    """The client went away before its body was complete."""


class Asked:
    """A request's `receive` that remembers whether it was called: by the first call a client is told to send its body."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.once = False

    def __call__(self) -> Awaitable[Any]:
        self.once = True
        return self._receive()


class Decoder(Protocol):
    """What undoes a transfer coding; `kenja.wire.chunked` has one."""

    trailers: dict[str, str]

    def feed(self, data: bytes) -> list[bytes]:
        """The payload that became readable. Raises Malformed."""

    def finish(self) -> None:
        """Raises Malformed when the coding is not complete."""


@dataclass(slots=True)
class Spooled:
    """A complete body. `path` is its file when it was too large for memory; it is removed by `discard` unless taken."""

    memory: bytes = b""
    path: Path | None = None
    size: int = 0
    digests: Mapping[str, Any] = field(default_factory=dict)  # hexadecimal, by algorithm: sha256, md5
    trailers: dict[str, str] = field(default_factory=dict)
    _reader: BinaryIO | None = None

    def read(self, n: int = -1, /) -> bytes:
        """The next `n` bytes; all of the rest without a number."""
        if self._reader is None:
            self._reader = io.BytesIO(self.memory) if self.path is None else self.path.open("rb")
        return self._reader.read(n)

    def seek(self, offset: int) -> None:
        """Go to a place, counted from the start."""
        self.read(0)
        assert self._reader is not None
        self._reader.seek(offset)

    def bytes(self) -> bytes:
        """The whole body at once."""
        return self.memory if self.path is None else self.path.read_bytes()

    def discard(self) -> None:
        """Close and remove what is left of it."""
        if self._reader is not None:
            self._reader.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


@contextmanager
def owned(spooled: Spooled) -> Iterator[Spooled]:
    """Discards a body when the request is done with it."""
    try:
        yield spooled
    finally:
        spooled.discard()


class Spool:
    """Collects one body. `folder` is where large ones go; None keeps every body in memory, up to `limit`."""

    def __init__(self, folder: Path | None, limit: int, decoder: Decoder | None, *, md5: bool, sha256: bool) -> None:
        self._folder = folder
        self._limit = limit
        self._decoder = decoder
        self._hashes = {
            name: make(usedforsecurity=False)
            for name, make, on in (("md5", hashlib.md5, md5), ("sha256", hashlib.sha256, sha256))
            if on
        }
        self._chunks: list[bytes] = []
        self._file: BinaryIO | None = None
        self._body = Spooled()

    def nothing(self) -> Spooled:
        """The body of a request that announces none; nothing is waited for. Raises Malformed (a coding of nothing)."""
        return self._finish()

    async def receive(self, receive: Receive, executor: Executor) -> Spooled:
        """The whole body. Raises ServiceError (too large, too slow), Malformed (bad coding) and Disconnected."""
        loop = asyncio.get_running_loop()
        waiting: list[bytes] = []
        size = 0
        try:
            while True:
                message = await _next(receive)
                if message["type"] != "http.request":
                    raise Disconnected
                if chunk := message.get("body", b""):
                    waiting.append(chunk)
                    size += len(chunk)
                last = not message.get("more_body", False)
                if size >= BATCH:
                    await loop.run_in_executor(executor, self._add, waiting)
                    waiting, size = [], 0
                if last:
                    break
            if self._file is None:
                self._add(waiting)
                return self._finish()
            await loop.run_in_executor(executor, self._add, waiting)
            return await loop.run_in_executor(executor, self._finish)
        except BaseException:
            self._abandon()
            raise

    def _add(self, chunks: list[bytes]) -> None:
        for raw in chunks:
            for chunk in self._decoder.feed(raw) if self._decoder else (raw,):
                for digest in self._hashes.values():
                    digest.update(chunk)
                self._body.size += len(chunk)
                if self._body.size > self._limit:
                    raise ServiceError(
                        "RequestEntityTooLarge", f"The body is larger than {self._limit} bytes.", status=413
                    )
                self._store(chunk)

    def _store(self, chunk: bytes) -> None:
        if self._file is None and self._folder is not None and self._body.size > MEMORY:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._body.path = self._folder / f"{os.getpid()}-{ids.token(24)}"
            self._file = self._body.path.open("wb")
            self._file.writelines(self._chunks)
            self._chunks = []
        if self._file is not None:
            self._file.write(chunk)
        else:
            self._chunks.append(chunk)

    def _finish(self) -> Spooled:
        if self._decoder is not None:
            self._decoder.finish()
            self._body.trailers = self._decoder.trailers
        if self._file is not None:
            self._file.close()
        else:
            self._body.memory = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._body.digests = {name: digest.hexdigest() for name, digest in self._hashes.items()}
        return self._body

    def _abandon(self) -> None:
        if self._file is not None:
            self._file.close()
        self._body.discard()


async def _next(receive: Receive) -> Any:
    try:
        async with asyncio.timeout(SILENCE):
            return await receive()
    except TimeoutError:
        raise ServiceError(
            "RequestTimeout",
            f"Nothing of the request's body came for {SILENCE:.0f} s; send it without pauses.",
            status=400,
            headers={"connection": "close"},
        ) from None
