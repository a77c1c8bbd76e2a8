"""Files in a job's folder, some of which the job may have written: never followed through its links. No meaning of contents here."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Readers see the old file or the new one, never a part; `durable` also survives a loss of power."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        if durable:
            handle.flush()
            os.fsync(handle.fileno())
    temporary.replace(path)


def open_beneath(root: Path, relative: str) -> int | None:
    """Descriptor of a regular file below `root` for reading; None if it is absent, not regular, or reached through a link.

    `root` is trusted, every component below it is not: the job may have replaced it by a link to somebody else's file.
    """
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    parts = [part for part in relative.split("/") if part]
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = below
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(parts[-1], flags, dir_fd=folder)
    except OSError:  # absent, a link, no folder, a socket: all of them are "no such output"
        return None
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def read_beneath(root: Path, relative: str, limit: int) -> bytes:
    """First `limit` bytes of such a file, empty if there is none."""
    descriptor = open_beneath(root, relative)
    if descriptor is None:
        return b""
    with os.fdopen(descriptor, "rb") as handle:
        return handle.read(limit)


def give_to(root: Path, uid: int, gid: int) -> None:
    """Make a tree belong to the job's user. Links stay as they are; files with other names elsewhere are left alone,
    because they may be stored objects."""
    os.chown(root, uid, gid, follow_symlinks=False)
    for folder, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            if stat.S_ISDIR(facts.st_mode) or (stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1):
                os.chown(path, uid, gid, follow_symlinks=False)


def copy_tree(source: Path, target: Path) -> None:
    """A copy with no ties to the source; links inside are copied as what they point at."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
