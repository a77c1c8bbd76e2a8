"""Addresses of Unix sockets whose paths may be too long for one. Opens no socket."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 107  # bytes of a socket's path; unix(7)


@contextmanager
def address(path: Path) -> Iterator[str]:
    """What to bind or connect to, as long as the block lasts: a long path goes through a descriptor of its folder, on Linux."""
    name = os.fspath(path)
    if len(os.fsencode(name)) <= LONGEST or sys.platform != "linux":
        yield name
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
