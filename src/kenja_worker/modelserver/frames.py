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
    """What a frame is. A ping is answered by a pong with an empty body."""

    INVOKE = 0
    ANSWER = 1
    PING = 2
    PONG = 3


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
    further = _pack_headers(frame.headers) if frame.headers else b""
    content_type, accept, attributes = frame.content_type, frame.accept, frame.custom_attributes
    lengths = (len(content_type), len(accept), len(attributes), len(further))
    if max(lengths) > MAX_PART:
        raise FrameError(f"a header of a frame has {max(lengths)} bytes; {MAX_PART} are allowed")
    if len(frame.body) > MAX_BODY:
        raise FrameError(f"the body of a frame has {len(frame.body)} bytes; {MAX_BODY} are allowed")
    length = _FIXED + sum(lengths) + len(frame.body)
    fixed = _HEAD.pack(length, frame.id, frame.kind, frame.status, *lengths)
    return b"".join((fixed, content_type, accept, attributes, further))


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
            length, identifier, kind, status, *parts = _HEAD.unpack_from(data, start)
            self._check(length)
            end = start + _LENGTH.size + length
            if end > size:
                break
            frames.append(_frame(data[start + _HEAD.size : end], identifier, kind, status, parts))
            start = end
        if _LENGTH.size <= size - start < _HEAD.size:
            self._check(_LENGTH.unpack_from(data, start)[0])
        return start, frames


def _frame(data: bytes, identifier: int, kind: int, status: int, parts: list[int]) -> Frame:
    if sum(parts) > len(data):
        raise FrameError("the parts of a frame are longer than the frame")
    if kind > Kind.PONG:
        raise FrameError(f"a frame has the unknown kind {kind}")
    first, second, third, fourth = parts
    accept_at = first + second
    attributes_at = accept_at + third
    body_at = attributes_at + fourth
    return Frame(
        identifier,
        Kind(kind),
        data[body_at:],
        data[:first],
        data[first:accept_at],
        data[accept_at:attributes_at],
        tuple(_unpack_headers(data[attributes_at:body_at])) if fourth else (),
        status,
    )


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
