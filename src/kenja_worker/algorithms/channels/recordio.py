"""RecordIO: records of bytes one behind the other, each with a magic number and its length. What they hold is none of its business.

The framing is dmlc-core's (include/dmlc/recordio.h): little-endian magic, then three bits for the kind of part and 29 for
the length, then the bytes, filled up to a multiple of four.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from kenja_worker.algorithms.errors import ClientError

MAGIC = 0xCED7230A
MAX_RECORD = 2**29 - 1  # bytes of one part
HEAD = struct.Struct("<II")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)  # kinds of parts; a record that holds the magic number may be cut there


def head(size: int) -> bytes:
    """What stands before a record of that many bytes. Raises ValueError for one that is too long."""
    if size > MAX_RECORD:
        raise ValueError(f"a record has {size} bytes; RecordIO allows {MAX_RECORD}")
    return HEAD.pack(MAGIC, size)


def padding(size: int) -> bytes:
    """What stands behind a record of that many bytes."""
    return bytes(-size % 4)


def frame(record: bytes) -> bytes:
    """One record as it is written. Raises ValueError for one that is too long."""
    return head(len(record)) + record + padding(len(record))


def records(stream: BinaryIO, where: str, start: int = 1) -> Iterator[bytes]:
    """All records of a stream; `start` is the number of the first in messages. Raises ClientError for what is none."""
    number = start
    parts: list[bytes] = []
    while part := _part(stream, f"{where}, record {number}"):
        kind, data = part
        if (kind in (_MIDDLE, _LAST)) != bool(parts):
            raise ClientError(f"{where}, record {number}: its parts are not in order.")
        parts.append(data)
        if kind in (_WHOLE, _LAST):
            yield data if kind == _WHOLE else struct.pack("<I", MAGIC).join(parts)
            parts.clear()
            number += 1
    if parts:
        raise ClientError(f"{where}, record {number}: the file ends within it.")


def extent(data: bytes, place: int, where: str) -> int:
    """Where the record that begins at `place` ends, with all its parts; 0 when the data ends before. Raises ClientError."""
    while place + HEAD.size <= len(data):
        magic, length = HEAD.unpack_from(data, place)
        if magic != MAGIC:
            raise ClientError(f"{where} is not RecordIO: a record does not begin with its magic number.")
        size = length & MAX_RECORD
        place += HEAD.size + size + -size % 4
        if length >> 29 in (_WHOLE, _LAST):
            return place if place <= len(data) else 0
    return 0


def _part(stream: BinaryIO, where: str) -> tuple[int, bytes] | None:
    start = stream.read(HEAD.size)
    if not start:
        return None
    if len(start) < HEAD.size:
        raise ClientError(f"{where}: the file ends within its head.")
    magic, length = HEAD.unpack(start)
    if magic != MAGIC:
        raise ClientError(f"{where} does not begin with RecordIO's magic number; the file is not RecordIO.")
    size = length & MAX_RECORD
    data = stream.read(size + -size % 4)
    if len(data) < size:
        raise ClientError(f"{where}: the file ends after {len(data)} of its {size} bytes.")
    return length >> 29, data[:size]
