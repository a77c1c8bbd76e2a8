"""HTTP messages as the wire layer sees them. Not a server: no sockets, no framing."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

from kenja.wire.errors import Malformed, MalformedParameter

MAX_INFLATED = 64 * 1024 * 1024  # bytes a gzip body may grow to; far above every modelled request
MAX_FIELDS = 20_000  # parameters of one form or query string; CloudWatch's largest batch needs about 15,000


class Body(Protocol):
    """A request body; large ones lie in a file (`path`). `digests` holds what was computed while spooling."""

    size: int
    path: Path | None
    digests: Mapping[str, Any]

    def read(self, n: int = -1, /) -> bytes: ...


class MemoryBody:
    """A body that fits in memory."""

    def __init__(self, data: bytes, digests: Mapping[str, Any] | None = None) -> None:
        self.size = len(data)
        self.path: Path | None = None
        self.digests: Mapping[str, Any] = digests or {}
        self._stream = io.BytesIO(data)

    def read(self, n: int = -1, /) -> bytes:
        return self._stream.read(n)


@dataclass(frozen=True, slots=True)
class FileRange:
    """Bytes of a file to send as an answer's body, without reading them here."""

    path: Path
    offset: int
    length: int


@dataclass(slots=True)
class Request:
    """`path` and `query` are raw (undecoded); header names are lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes | Body = b""
    _arguments: list[tuple[str, str]] | None = field(default=None, init=False, repr=False)
    _form: list[tuple[str, str]] | None = field(default=None, init=False, repr=False)

    def content(self) -> bytes:
        """The whole body as sent, read into memory once."""
        if not isinstance(self.body, bytes):
            self.body = self.body.read()
        return self.body

    def document(self) -> bytes:
        """The whole body without the gzip that a client put on last (the model's request-compression trait)."""
        data = self.content()
        return _inflate(data) if data and self._codings()[1] == "gzip" else data

    def inflated(self) -> Request:
        """The request as it was before a client's gzip; what it says of other codings is kept."""
        before, last = self._codings()
        if last != "gzip":
            return self
        headers = {name: text for name, text in self.headers.items() if name != "content-encoding"}
        if before:
            headers["content-encoding"] = before
        return Request(self.method, self.path, self.query, headers, self.document())

    def _codings(self) -> tuple[str, str]:
        before, _, last = self.headers.get("content-encoding", "").rpartition(",")
        return before.strip(), last.strip().lower()

    def stream(self) -> Body:
        """The body as an object to read from, whatever it is held in."""
        return MemoryBody(self.body) if isinstance(self.body, bytes) else self.body

    def arguments(self) -> list[tuple[str, str]]:
        """The decoded query string."""
        if self._arguments is None:
            self._arguments = _pairs(self.query) if self.query else []
        return self._arguments

    def form(self) -> list[tuple[str, str]]:
        """The decoded form body; of a GET, the query string."""
        if self._form is None:
            try:
                text = self.document().decode()
            except UnicodeDecodeError:
                raise Malformed("The form body is not valid UTF-8.") from None
            self._form = [*self.arguments(), *_pairs(text)] if text else self.arguments()
        return self._form


@dataclass(slots=True)
class Response:
    """Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes | FileRange | Iterator[bytes] = b""


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError:
        raise MalformedParameter("A parameter is not valid percent-encoded UTF-8.") from None
    except ValueError:
        raise Malformed(f"More than {MAX_FIELDS} parameters.") from None


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(data, MAX_INFLATED)
    except zlib.error:
        raise Malformed("The body is not valid gzip although Content-Encoding says so.") from None
    if inflater.unconsumed_tail or not inflater.eof:
        raise Malformed(f"The gzip body is cut short or larger than {MAX_INFLATED} bytes once inflated.")
    return plain
