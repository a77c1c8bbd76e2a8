"""Frames between gateway and model server: many requests in flight on one Unix socket, answered in any order.

A frame is a 4-byte length, a fixed head and variable parts; all integers are little-endian:

    length u32      bytes after this field
    id u32          chosen by the asker, repeated in the answer
    kind u8         see `Kind`
    status u16      HTTP status of an answer, 0 in a request
    u16 × 4         lengths of content type, accept, custom attributes, further headers
    content type, accept, custom attributes, further headers ("name\\0value\\0"…), body (the rest)

Both sides use this module; it needs the standard library only.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple

MAX_BODY = 100 * 1024 * 1024  # bytes; the largest MaxPayloadInMB of a transform job (InvokeEndpoint itself allows 6 MB)
MAX_PART = 0xFFFF  # bytes of any one variable part but the body
_HEAD = struct.Struct("<IIBHHHHH")
_LENGTH = struct.Struct("<I")
_FIXED = _HEAD.size - _LENGTH.size


class FrameError(Exception):
    """The other side does not speak this protocol, or a frame is too large; the connection cannot go on."""


class Kind(enum.IntEnum):
    """What a frame is. A ping is answered by a pong with an empty body; a stream by parts and, at its end, an answer."""

    INVOKE = 0
    ANSWER = 1
    PING = 2
    PONG = 3
    STREAM = 4  # an invocation whose answer may come in parts
    PART = 5  # a piece of an answer's body; the answer that ends it has the rest


_KINDS = tuple(Kind)  # by number; calling Kind takes six times as long


class Frame(NamedTuple):
    """One request or answer. Text is bytes as it stood in the HTTP headers, so that nobody decodes it on the way.

    A tuple, because one is made for each request on both sides and a frozen dataclass takes four times as long.
    """

    id: int
    kind: Kind
    body: bytes = b""
    content_type: bytes = b""
    accept: bytes = b""
    custom_attributes: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 0


def encode(frame: Frame) -> bytes:
    """The frame's bytes. Raises FrameError when a part is too large or a header holds a NUL."""
    return head(frame) + frame.body


def head(frame: Frame) -> bytes:
    """All bytes but the body's, so that a large body need not be copied."""
    number, kind, body, content_type, accept, attributes, headers, status = frame
    further = _pack_headers(headers) if headers else b""
    return _head(number, kind, status, len(body), (content_type, accept, attributes, further))


def invocation(number: int, size: int, content_type: bytes, accept: bytes, attributes: bytes) -> bytes:
    """The head of a request with a body of `size` bytes; for an asker with so many that making a Frame of each counts."""
    return _head(number, Kind.INVOKE, 0, size, (content_type, accept, attributes, b""))


def _head(number: int, kind: int, status: int, size: int, parts: tuple[bytes, bytes, bytes, bytes]) -> bytes:
    lengths = [len(part) for part in parts]
    together = sum(lengths)
    if together > MAX_PART and max(lengths) > MAX_PART:
        raise FrameError(f"a header of a frame has {max(lengths)} bytes; {MAX_PART} are allowed")
    if size > MAX_BODY:
        raise FrameError(f"the body of a frame has {size} bytes; {MAX_BODY} are allowed")
    return b"".join((_HEAD.pack(_FIXED + together + size, number, kind, status, *lengths), *parts))


class FrameReader:
    """Cuts a byte stream into frames. One per connection; not thread-safe."""

    def __init__(self, max_body: int = MAX_BODY) -> None:
        self._buffer = bytearray()
        self._max_length = _FIXED + 4 * MAX_PART + max_body

    def feed(self, data: bytes) -> list[Frame]:
        """All frames that are complete with this data. Raises FrameError; the reader is useless after that."""
        if not self._buffer:
            used, frames = self._cut(data)
            self._buffer += data[used:]
            return frames
        self._buffer += data
        if len(self._buffer) < _LENGTH.size or len(self._buffer) < self._wanted():
            return []
        used, frames = self._cut(bytes(self._buffer))
        del self._buffer[:used]
        return frames

    @property
    def idle(self) -> bool:
        """Whether no part of a frame is waiting for its rest."""
        return not self._buffer

    def _wanted(self) -> int:
        (length,) = _LENGTH.unpack_from(self._buffer)
        self._check(length)
        return _LENGTH.size + int(length)

    def _check(self, length: int) -> None:
        if not _FIXED <= length <= self._max_length:
            raise FrameError(f"a frame claims {length} bytes; {_FIXED} to {self._max_length} are allowed")

    def _cut(self, data: bytes) -> tuple[int, list[Frame]]:
        frames: list[Frame] = []
        start, size = 0, len(data)
        while size - start >= _HEAD.size:
            length, number, kind, status, first, second, third, fourth = _HEAD.unpack_from(data, start)
            self._check(length)
            end = start + _LENGTH.size + length
            if end > size:
                break
            accept_at = start + _HEAD.size + first
            attributes_at = accept_at + second
            headers_at = attributes_at + third
            body_at = headers_at + fourth
            if body_at > end:
                raise FrameError("the parts of a frame are longer than the frame")
            if kind >= len(_KINDS):
                raise FrameError(f"a frame has the unknown kind {kind}")
            frames.append(
                Frame(
                    number, _KINDS[kind], data[body_at:end], data[start + _HEAD.size : accept_at],
                    data[accept_at:attributes_at], data[attributes_at:headers_at],
                    tuple(_unpack_headers(data[headers_at:body_at])) if fourth else (), status,
                )
            )  # fmt: skip
            start = end
        if _LENGTH.size <= size - start < _HEAD.size:
            self._check(_LENGTH.unpack_from(data, start)[0])
        return start, frames


def _pack_headers(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    for pair in headers:
        if any(b"\0" in text for text in pair):
            raise FrameError("a header of a frame holds a NUL byte")
    return b"".join(text + b"\0" for pair in headers for text in pair)


def _unpack_headers(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    texts = data.split(b"\0")
    if texts.pop() or len(texts) % 2:
        raise FrameError("the headers of a frame are not pairs")
    return zip(texts[::2], texts[1::2], strict=True)
