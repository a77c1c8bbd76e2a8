"""The `aws-chunked` content encoding, decoded as it arrives. Signatures are checked by whoever can: see `verify`."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto

from kenja.wire.errors import MalformedCoding

MAX_LINE = 4096  # bytes of a chunk header or trailer line; a signed header has about 90
MAX_TRAILERS = 32
MAX_SIGNED_CHUNK = 64 * 1024 * 1024  # bytes held for a signature; SDKs send 64 KiB to 1 MiB
PIECE = 1024 * 1024  # bytes of an unsigned chunk handed on at once, at most what was fed

_HEADER = re.compile(rb"([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{1,128}))?[ \t]*")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})[ \t]*:[ \t]*([^\x00]*?)[ \t]*")

Verify = Callable[[str, bytes], None]  # (chunk signature, the chunk's data): raises to refuse it


class _State(Enum):
    HEADER = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILERS = auto()
    DONE = auto()


class ChunkedDecoder:
    """Feed it the encoded body; it gives the plain one. Raises MalformedCoding.

    With `verify` every chunk, the last empty one too, must carry a signature and no byte of it is given before
    `verify` has returned. `length` is the announced plain length (`x-amz-decoded-content-length`).
    After `finish`, `trailers` has the trailing headers by lower-case name, `trailer_text` their canonical form
    (what a trailer signature covers) and `trailer_signature` that signature.
    """

    def __init__(self, *, length: int | None = None, verify: Verify | None = None) -> None:
        self.trailers: dict[str, str] = {}
        self.trailer_signature: str | None = None
        self.received = 0  # plain bytes so far
        self._length = length
        self._verify = verify
        self._buffer = bytearray()
        self._state = _State.HEADER
        self._left = 0  # bytes of the current chunk yet to come
        self._signature = ""
        self._held = bytearray()  # of a signed chunk

    @property
    def finished(self) -> bool:
        """Whether the end of the body was seen."""
        return self._state is _State.DONE

    @property
    def trailer_text(self) -> bytes:
        """The trailing headers, a line each, without the signature."""
        return "".join(f"{name}:{value}\n" for name, value in sorted(self.trailers.items())).encode()

    def feed(self, data: bytes) -> list[bytes]:
        """The plain bytes that `data` completes, in order."""
        if self._state is _State.DONE and data:
            raise MalformedCoding("Data follow the end of the aws-chunked body.")
        self._buffer += data
        out: list[bytes] = []
        while self._step(out):
            pass
        if self._state is _State.DONE and self._buffer:
            raise MalformedCoding("Data follow the end of the aws-chunked body.")
        return out

    def finish(self) -> None:
        """To be called at the end of the request: refuses a body that was cut short or has another length."""
        if self._state is _State.TRAILERS and not self._buffer:
            self._end()  # the blank line after no trailers may be missing
        if self._state is not _State.DONE:
            raise MalformedCoding("The aws-chunked body ends before its last chunk.")

    def _step(self, out: list[bytes]) -> bool:
        if self._state is _State.HEADER:
            return self._read_header()
        if self._state is _State.DATA:
            return self._read_data(out)
        if self._state is _State.DATA_END:
            return self._read_data_end()
        return self._state is _State.TRAILERS and self._read_trailer()

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, MAX_LINE + 2)
        if end < 0:
            if len(self._buffer) > MAX_LINE:
                raise MalformedCoding(f"A line of the aws-chunked body is longer than {MAX_LINE} bytes.")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _read_header(self) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _HEADER.fullmatch(line)
        if match is None:
            raise MalformedCoding("A chunk must begin with its length in hexadecimal and, if signed, chunk-signature.")
        self._left = int(match[1], 16)
        self._signature = (match[2] or b"").decode()
        if self._verify is not None and not self._signature:
            raise MalformedCoding("A chunk has no signature although the request announced signed chunks.")
        if self._verify is not None and self._left > MAX_SIGNED_CHUNK:
            raise MalformedCoding(f"A signed chunk is larger than {MAX_SIGNED_CHUNK} bytes.")
        if self._length is not None and self.received + self._left > self._length:
            raise MalformedCoding(f"The body is longer than the announced {self._length} bytes.")
        if self._left:
            self._state = _State.DATA
        else:
            self._check(b"")
            self._state = _State.TRAILERS
        return True

    def _read_data(self, out: list[bytes]) -> bool:
        piece = bytes(self._buffer[: min(self._left, PIECE)])
        if not piece:
            return False
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        self.received += len(piece)
        if self._verify is None:
            out.append(piece)
        else:
            self._held += piece
        if not self._left:
            if self._verify is not None:
                whole = bytes(self._held)
                self._held.clear()
                self._check(whole)
                out.append(whole)
            self._state = _State.DATA_END
        return True

    def _read_data_end(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise MalformedCoding("A chunk is longer than its header says.")
        del self._buffer[:2]
        self._state = _State.HEADER
        return True

    def _read_trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if not line:
            self._end()
            return True
        match = _TRAILER.fullmatch(line)
        if match is None or len(self.trailers) >= MAX_TRAILERS:
            raise MalformedCoding("A trailing header of the aws-chunked body cannot be read, or there are too many.")
        name, value = match[1].decode().lower(), match[2].decode("latin-1")
        if name in self.trailers:
            raise MalformedCoding(f"The trailing header {name} is there twice.")
        if name == "x-amz-trailer-signature":
            self.trailer_signature = value
        else:
            self.trailers[name] = value
        return True

    def _check(self, data: bytes) -> None:
        if self._verify is not None:
            self._verify(self._signature, data)

    def _end(self) -> None:
        if self._length is not None and self.received != self._length:
            raise MalformedCoding(f"The body has {self.received} bytes, {self._length} were announced.")
        self._state = _State.DONE
