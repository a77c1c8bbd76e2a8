"""multipart/form-data as it arrives: fields in memory, the bytes of one file handed on. Not a server, and no S3 policies."""

from __future__ import annotations

import re
from enum import Enum, auto

from kenja.wire.errors import Malformed

MAX_FIELDS = 20 * 1024  # bytes of everything but the file; S3 API Reference, POST Object: "cannot exceed 20 KB"
MAX_HEAD = 8 * 1024  # bytes of the headers of one part
MAX_PADDING = 128  # bytes of white space after a boundary; RFC 2046, 5.1.1
MAX_BOUNDARY = 70  # characters; RFC 2046, 5.1.1

_BOUNDARY = re.compile(
    r'\s*multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s;",]{1,70}))\s*(?:;.*)?', re.I
)
_PARAMETER = re.compile(r';\s*([A-Za-z*]+)\s*=\s*(?:"((?:\\"|[^"])*)"|([^;\s]*))')


class FieldsTooLong(Malformed):
    """The fields before the file are larger than MAX_FIELDS."""


class SeveralFiles(Malformed):
    """The form has more than one file."""


class _State(Enum):
    START = auto()
    BOUNDARY = auto()
    HEAD = auto()
    FIELD = auto()
    FILE = auto()
    SKIPPED = auto()
    END = auto()


def boundary(content_type: str) -> str | None:
    """The boundary that a Content-Type names, or None when it is no multipart/form-data."""
    match = _BOUNDARY.fullmatch(content_type)
    return None if match is None else match[1] or match[2]


class FormDecoder:
    """Feed it the body; it gives the bytes of the file, which ends the form: later fields are ignored. Raises Malformed.

    `fields` are the names as sent and the texts of the fields before the file, `filename` what the file's part says,
    without folders; `has_file` tells whether there was a file at all.
    """

    def __init__(self, limit: str, file_field: str = "file") -> None:
        """`limit` is the boundary, `file_field` the name of the file's field."""
        self.trailers: dict[str, str] = {}
        self.fields: list[tuple[str, str]] = []
        self.filename = ""
        self.has_file = False
        self._file_field = file_field
        self._delimiter = b"\r\n--" + limit.encode("latin-1", "replace")
        self._buffer = bytearray(b"\r\n")  # so that the first boundary looks like the others
        self._state = _State.START
        self._spent = 0  # bytes that are not the file's
        self._name = ""
        self._value = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bytes of the file that `data` completes."""
        self._buffer += data
        out: list[bytes] = []
        while self._step(out):
            pass
        return out

    def finish(self) -> None:
        """To be called at the end of the request: refuses a form that was cut short."""
        if self._state is not _State.END:
            raise Malformed("The form ends before its last boundary.")

    def _step(self, out: list[bytes]) -> bool:
        match self._state:
            case _State.BOUNDARY:
                return self._read_boundary()
            case _State.HEAD:
                return self._read_head()
            case _State.END:
                self._buffer.clear()  # what follows the last boundary means nothing
                return False
        return self._read_content(out)

    def _read_content(self, out: list[bytes]) -> bool:
        at = self._buffer.find(self._delimiter)
        end = at if at >= 0 else max(0, len(self._buffer) - len(self._delimiter) + 1)
        piece = bytes(self._buffer[:end])
        del self._buffer[: end + (len(self._delimiter) if at >= 0 else 0)]
        if self._state is _State.FILE:
            if piece:
                out.append(piece)
        elif not self.has_file:
            self._spend(len(piece))
            if self._state is _State.FIELD:
                self._value += piece
        if at < 0:
            return False
        if self._state is _State.FIELD:
            self._keep_field()
        self._state = _State.BOUNDARY
        return True

    def _keep_field(self) -> None:
        try:
            self.fields.append((self._name, self._value.decode()))
        except UnicodeDecodeError:
            raise Malformed(f"The field {self._name!r:.80} is not valid UTF-8.") from None
        self._value.clear()

    def _read_boundary(self) -> bool:
        if self._buffer.startswith(b"--"):
            self._state = _State.END
            return True
        end = self._buffer.find(b"\r\n", 0, MAX_PADDING)
        if end < 0:
            if len(self._buffer) >= MAX_PADDING:
                raise Malformed("A boundary of the form is not followed by a line break.")
            return False
        if self._buffer[:end].strip(b" \t"):
            raise Malformed("A boundary of the form is followed by something else than a line break.")
        del self._buffer[:end]  # the line break stays: a part without headers has no other
        self._state = _State.HEAD
        return True

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            if len(self._buffer) >= MAX_HEAD:
                raise Malformed(f"The headers of a part of the form are longer than {MAX_HEAD} bytes.")
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        if not self.has_file:
            self._spend(len(head))
        self._begin(head)
        return True

    def _begin(self, head: bytes) -> None:
        parameters: dict[str, str] = {}
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-disposition":
                parameters = _parameters(value)
        if "name" not in parameters:
            raise Malformed("A part of the form has no Content-Disposition with a name.")
        self._name = parameters["name"]
        if self._name.lower() == self._file_field:
            if self.has_file:
                raise SeveralFiles("The form has more than one file.")
            self.has_file = True
            self.filename = parameters.get("filename", "").replace("\\", "/").rpartition("/")[2]
            self._state = _State.FILE
        else:
            self._state = _State.SKIPPED if self.has_file else _State.FIELD

    def _spend(self, size: int) -> None:
        self._spent += size
        if self._spent > MAX_FIELDS:
            raise FieldsTooLong(f"The fields before the file are longer than {MAX_FIELDS} bytes.")


def _parameters(value: bytes) -> dict[str, str]:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return {
        match[1].lower(): match[3] if match[2] is None else match[2].replace('\\"', '"')
        for match in _PARAMETER.finditer(text)
    }
