"""Immutable files by id: written aside, made durable, moved into place, shared by hard links. Which are needed, rows say.

`incoming/` holds what is being written; `blobs/ab/abcd…` what is complete. A complete file is never written again
(mode 0444), so a reader, a job's link or a copy of an object may share it without asking. What is small has a file only
where a path is needed: see `small`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from kenja.core import ids
from kenja.kernel.objects.checksums import Hasher
from kenja.kernel.objects.errors import Refusal
from kenja.kernel.objects.small import is_small

PIECE = 1024 * 1024  # bytes read at once
READ_ONLY = 0o444


class Readable(Protocol):
    """Where bytes come from: an open file, a request's body."""

    def read(self, n: int = -1, /) -> bytes: ...


class Draft:
    """A blob that no row names yet: removed when the `with` block ends, unless `keep` was called. Not thread safe."""

    def __init__(self, blob: str, path: Path, place: Path, descriptor: int) -> None:
        self.blob = blob
        self.size = 0  # bytes
        self.digests: dict[str, bytes] = {}  # raw, by AWS's algorithm name
        self._path = path
        self._place = place
        self._descriptor = descriptor
        self._placed = self._kept = False

    def place(self) -> None:
        """Move the file to where readers look and make it durable; a row may name it from now on.

        The move comes before the fsync, so that one call makes both the bytes and the name last.
        """
        self._path.rename(self._place)
        self._placed = True
        os.fsync(self._descriptor)

    def keep(self) -> None:
        """A row names the blob, or may do so: the file stays."""
        self._kept = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        if not self._kept and (not self._placed or kind is None or issubclass(kind, Refusal)):
            (self._place if self._placed else self._path).unlink(missing_ok=True)
        # a placed file after an unforeseen error stays: its row may have been committed; the sweep will know


class Blobs:
    """The files of one object store. Thread safe, and safe for several processes on one folder."""

    def __init__(self, folder: Path) -> None:
        self.incoming = folder / "incoming"
        self._blobs = folder / "blobs"
        self._text = str(self._blobs)
        self.incoming.mkdir(parents=True, exist_ok=True)
        if not (self._blobs / "ff").is_dir():
            for number in range(256):
                (self._blobs / f"{number:02x}").mkdir(parents=True, exist_ok=True)

    def path(self, blob: str) -> Path:
        """Where a complete blob lies."""
        return Path(self.name(blob))

    def name(self, blob: str) -> str:
        """The same as text, which is cheaper to make."""
        return f"{self._text}/{blob[1:3] if is_small(blob) else blob[:2]}/{blob}"

    def write(self, data: bytes, algorithms: Iterable[str]) -> Draft:
        """A draft of bytes in memory, hashed."""
        draft = self._new()
        return self._fill(draft, (data,), algorithms)

    def receive(self, source: Readable, algorithms: Iterable[str]) -> Draft:
        """A draft of everything that `source` gives, hashed on the way."""
        draft = self._new()
        fcntl.flock(draft._descriptor, fcntl.LOCK_EX)  # the sweep leaves a locked file alone, however old
        return self._fill(draft, iter(lambda: source.read(PIECE), b""), algorithms)

    def adopt(self, path: Path, algorithms: Iterable[str]) -> Draft:
        """A draft of a complete file in `incoming`, which is taken over without a copy and read only to hash it."""
        blob = ids.token(32)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        draft = Draft(blob, path, self.path(blob), descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.fchmod(descriptor, READ_ONLY)
        except BaseException:
            with draft:
                raise
        return self._hashed(draft, algorithms)

    def again(self, blob: str, algorithms: Iterable[str] = ()) -> Draft:
        """A draft with the bytes of a complete blob, read only to hash them.

        It is a hard link, or a copy where the file has too many.
        """
        new = ids.token(32)
        path = self.incoming / new
        link_or_copy(self.path(blob), path)
        return self._hashed(Draft(new, path, self.path(new), os.open(path, os.O_RDONLY | os.O_CLOEXEC)), algorithms)

    def joined(self, blobs: Sequence[str]) -> Draft:
        """A draft of several blobs one after another; the bytes do not pass through this process."""
        if len(blobs) == 1:
            return self.again(blobs[0])
        draft = self._new()
        try:
            fcntl.flock(draft._descriptor, fcntl.LOCK_EX)
            for blob in blobs:
                draft.size += _append(self.path(blob), draft._descriptor)
        except BaseException:
            with draft:
                raise
        return draft

    def excerpt(self, blob: str, offset: int, length: int, algorithms: Iterable[str]) -> Draft:
        """A draft of a range of a blob, hashed."""
        with self.path(blob).open("rb") as file:
            file.seek(offset)
            return self.receive(_Limited(file, length), algorithms)

    def materialise(self, blob: str, data: bytes) -> None:
        """Give a small blob a file too, complete and durable as soon as its name is there."""
        path = self.incoming / ids.token(32)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, READ_ONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _write(descriptor, data)
            os.fsync(descriptor)
            path.rename(self.path(blob))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    def remove(self, blobs: Iterable[str]) -> None:
        """Remove files; those that are gone already are no error. Links elsewhere keep their bytes."""
        for blob in blobs:
            self.path(blob).unlink(missing_ok=True)

    def remove_abandoned(self, before: float) -> int:
        """Remove files in `incoming` that nobody touched since `before` (wall seconds) and nobody has locked."""
        removed = 0
        for path in _older(self.incoming, before):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
                removed += 1
            except BlockingIOError:
                continue
            finally:
                os.close(descriptor)
        return removed

    def complete(self, before: float) -> Iterator[list[str]]:
        """The ids of complete blobs placed before `before` (wall seconds), one list per folder."""
        for folder in sorted(self._blobs.iterdir()):
            yield [path.name for path in _older(folder, before)]

    def _new(self) -> Draft:
        blob = ids.token(32)
        path = self.incoming / blob
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, READ_ONLY)
        return Draft(blob, path, self.path(blob), descriptor)

    @staticmethod
    def _hashed(draft: Draft, algorithms: Iterable[str]) -> Draft:
        hasher = Hasher(algorithms)
        try:
            draft.size = os.fstat(draft._descriptor).st_size
            offset = 0
            while hasher.wanted and (piece := os.pread(draft._descriptor, PIECE, offset)):
                hasher.update(piece)
                offset += len(piece)
        except BaseException:
            with draft:
                raise
        draft.digests = hasher.digests()
        return draft

    @staticmethod
    def _fill(draft: Draft, pieces: Iterable[bytes], algorithms: Iterable[str]) -> Draft:
        hasher = Hasher(algorithms)
        try:
            for piece in pieces:
                hasher.update(piece)
                _write(draft._descriptor, piece)
                draft.size += len(piece)
        except BaseException:
            with draft:
                raise
        draft.digests = hasher.digests()
        return draft


class _Limited:
    """The next `length` bytes of a file."""

    def __init__(self, file: Readable, length: int) -> None:
        self._file = file
        self._left = length

    def read(self, n: int = -1, /) -> bytes:
        data = self._file.read(self._left if n < 0 else min(n, self._left))
        self._left -= len(data)
        return data


def link_or_copy(source: Path, destination: Path) -> None:
    """A second name for a file; a read-only copy where links are not possible (other file system, too many links)."""
    try:
        os.link(source, destination)
    except FileNotFoundError:
        raise
    except OSError:
        copy(source, destination)


def copy(source: Path, destination: Path) -> None:
    """A read-only copy with bytes of its own."""
    shutil.copyfile(source, destination)
    destination.chmod(READ_ONLY)


def write(data: bytes, destination: Path) -> None:
    """A read-only file of bytes in memory, for a reader who can do without it after a crash: no fsync."""
    destination.write_bytes(data)
    destination.chmod(READ_ONLY)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _append(source: Path, descriptor: int) -> int:
    """Append a file to an open one; its size in bytes."""
    opened = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = left = os.fstat(opened).st_size
        while left:
            sent = os.sendfile(descriptor, opened, None, min(left, 1 << 30))
            if not sent:
                raise OSError(f"{source} became shorter while it was read")
            left -= sent
        return size
    finally:
        os.close(opened)


def _older(folder: Path, before: float) -> Iterator[Path]:
    """Files whose inode last changed before a time: a link to an old file counts as new, as its link count changed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.stat(follow_symlinks=False).st_ctime < before:
                    yield Path(entry.path)
            except FileNotFoundError:
                continue
