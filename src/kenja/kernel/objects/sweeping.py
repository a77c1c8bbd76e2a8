"""What removes blobs: released ones after a grace for their readers, orphans of crashes by age. Rows are never touched.

`tend` belongs into a loop that turns every second or so: it does a little at a time, when that is due. Several
processes may sweep at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import delete, select

from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.objects import small
from kenja.kernel.objects.blobs import Blobs
from kenja.kernel.objects.tables import OBJECT, PART, RELEASED, VERSION

RELEASE_GRACE = 60.0  # seconds that a released blob stays for readers that were given its path
ORPHAN_AGE = 3600.0  # seconds since the last change of a file that no row names
RELEASE_EVERY = 5.0  # seconds between looks for released blobs
ORPHANS_EVERY = 3600.0  # seconds between rounds through all files
_BATCH = 500  # rows at once; well below the number of parameters that SQLite takes


class Sweeper:
    """Thread safe."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._next_release = self._next_round = float("-inf")  # monotonic
        self._round: Iterator[list[str]] | None = None

    def tend(self) -> None:
        """What is due now: released blobs, and one folder of the round for orphans. For one thread."""
        now = self._clock.monotonic()
        if now >= self._next_release:
            self._next_release = now + RELEASE_EVERY
            self.released()
        if self._round is None and now >= self._next_round:
            self._next_round = now + ORPHANS_EVERY
            before = self._clock.wall() - ORPHAN_AGE
            self._blobs.remove_abandoned(before)
            self._round = self._blobs.complete(before)
        if self._round is not None:
            folder = next(self._round, None)
            if folder is None:
                self._round = None
            else:
                self._remove_unnamed(folder)

    def released(self, grace: float = RELEASE_GRACE) -> int:
        """Remove blobs that were overwritten or deleted more than `grace` seconds ago; how many."""
        removed = 0
        before = self._clock.wall() - grace
        while True:
            with self._database.reading() as connection:
                query = select(RELEASED.c.blob).where(RELEASED.c.at < before).order_by(RELEASED.c.at).limit(_BATCH)
                blobs = connection.execute(query).scalars().all()
            if not blobs:
                return removed
            self._blobs.remove(blobs)
            with self._database.transaction() as connection:
                small.remove(connection, blobs)
                connection.execute(delete(RELEASED).where(RELEASED.c.blob.in_(blobs)))
            removed += len(blobs)

    def orphans(self, age: float = ORPHAN_AGE) -> int:
        """Remove files of writes that a crash cut short more than `age` seconds ago; how many."""
        before = self._clock.wall() - age
        removed = self._blobs.remove_abandoned(before)
        for blobs in self._blobs.complete(before):
            removed += self._remove_unnamed(blobs)
        return removed

    def _remove_unnamed(self, blobs: list[str]) -> int:
        removed = 0
        for start in range(0, len(blobs), _BATCH):
            batch = blobs[start : start + _BATCH]
            lost = sorted(set(batch) - self._named(batch))
            self._blobs.remove(lost)
            removed += len(lost)
        return removed

    def _named(self, blobs: Iterable[str]) -> set[str]:
        wanted = list(blobs)
        with self._database.reading() as connection:
            return {
                blob
                for table in (OBJECT, VERSION, PART, RELEASED)
                for blob in connection.execute(select(table.c.blob).where(table.c.blob.in_(wanted))).scalars()
            }
