"""Small blobs: bytes in the index's database, written in the transaction of the row that names them. No files here.

A file costs a create, a write, an fsync and a rename before its row may be written; a small body costs one more INSERT
and lasts as long as its row. It becomes a file as well when a reader needs a path (`Blobs.materialise`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, bindparam, delete, insert, select

from kenja.core import ids
from kenja.kernel.objects.checksums import Hasher
from kenja.kernel.objects.tables import SMALL
from kenja.kernel.statements import Statement

LIMIT = 16 * 1024  # bytes; a larger body costs more in the write-ahead log than its file does
_MARK = "r"  # no hexadecimal digit, so that no file's blob begins with it
_INSERT = Statement(insert(SMALL))
_READ = Statement(select(SMALL.c.data).where(SMALL.c.blob == bindparam("of_blob")))


class SmallDraft:
    """A small blob that no row names yet; used as `blobs.Draft` is, but there is nothing to remove. Not thread safe."""

    def __init__(self, data: bytes, algorithms: Iterable[str]) -> None:
        hasher = Hasher(algorithms)
        hasher.update(data)
        self.blob = _MARK + ids.token(31)
        self.size = len(data)  # bytes
        self.digests: dict[str, bytes] = hasher.digests()  # raw, by AWS's algorithm name
        self._data = data

    def place(self) -> None:
        """Nothing: its bytes come with the row."""

    def record(self, connection: Connection) -> None:
        """Write the bytes; in the transaction of the row that names them."""
        _INSERT.run(connection, {"blob": self.blob, "data": self._data})

    def keep(self) -> None:
        """Nothing: there is no file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing: without its transaction there are no bytes."""


def is_small(blob: str) -> bool:
    """Whether a blob's bytes lie in the database."""
    return blob.startswith(_MARK)


def read(connection: Connection, blob: str) -> bytes:
    """The bytes of a small blob. Raises FileNotFoundError when it was released and swept, as for a file."""
    row = _READ.first(connection, {"of_blob": blob})
    if row is None:
        raise FileNotFoundError(blob)
    return bytes(row.data)


def remove(connection: Connection, blobs: Sequence[str]) -> None:
    """Remove bytes that nothing needs; blobs that are files are passed over."""
    small = [blob for blob in blobs if is_small(blob)]
    if small:
        connection.execute(delete(SMALL).where(SMALL.c.blob.in_(small)))
