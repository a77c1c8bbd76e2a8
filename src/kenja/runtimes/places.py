"""Folders that are there whole or not at all: made beside their final place under a lock, named when complete."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORLD_READABLE = 0o755  # a job may run as another user than the one who built


@contextmanager
def draft_of(place: Path, proof: str) -> Iterator[Path | None]:
    """A folder to fill, which becomes `place` when the block ends well; None when `place` has the file `proof` already.

    The block must write `proof`. One builder at a time; the system gives the lock back when its holder dies, and the
    next one sweeps what it left.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (place / proof).is_file():
            yield None
            return
        for left in (place, *place.parent.glob(f".{place.name}-*")):
            shutil.rmtree(left, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        try:
            yield draft
            draft.chmod(WORLD_READABLE)
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
