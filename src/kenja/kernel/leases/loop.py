"""The loop over leased rows: it leases, reads, hands each row to its kind's steps, and never waits. Of kinds it knows nothing.

A row says how far something is, its folder says what runs: every step may be interrupted by kill -9 and taken up by the next
loop. Long work happens in threads, one task at a time for a row. One row's trouble never stops the others.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Generic

from kenja.core import ids, trouble
from kenja.core.log import logger
from kenja.kernel.context import Context
from kenja.kernel.declare import Service
from kenja.kernel.jobs.backends import Backend
from kenja.kernel.kernel import Kernel
from kenja.kernel.leases.backoff import Backoff
from kenja.kernel.leases.rows import LEASE, LeasedRows, LeaseLost, Row
from kenja.kernel.resources.store import Record

REFRESH = 0.5  # seconds between two reads of the table without a poke
THREADS = 4  # tasks that are done at once
GONE = ".gone-"  # how the folder of an attempt begins that nobody waits for any more
_log = logger(__name__)


class LeaseLoop(ABC, Generic[Row]):
    """The rows that this process has leased. `step` is called by one thread."""

    def __init__(self, kernel: Kernel, rows: LeasedRows[Row], backend: Backend, owner: str) -> None:
        self._kernel = kernel
        self._table = rows
        self._backend = backend
        self._owner = owner
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=type(self).__name__)
        self._busy: dict[str, Future[None]] = {}
        self._rows: dict[str, Row] = {}
        self._troubled = Backoff()  # rows whose own trouble could not even be written down
        self._read = float("-inf")  # monotonic time of the last read of the table
        self._renewed = float("-inf")

    def step(self, *, poked: bool = False, dead: tuple[str, ...] = ()) -> bool:
        """Advance every row as far as it can go now; True while some of them are on their way to another state."""
        now = self._kernel.clock.monotonic()
        finished = [row for row, work in self._busy.items() if work.done()]
        for row in finished:
            self._busy.pop(row).result()
        if poked or finished or dead or now - self._read > REFRESH:
            self._refresh(now, dead)
        for known in list(self._rows.values()):
            if known.id not in self._busy and self._troubled.is_due(known.id, now):
                self._turn(known, now)
        return bool(self._busy) or any(not self._is_settled(row) for row in self._rows.values())

    def close(self) -> None:
        """Finish the threads' work; what runs goes on and is adopted by the next loop."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def knows(self, name: str) -> bool:
        """True for the folder of a row that is not over; of a row that somebody else has leased, for every attempt's."""
        row = name.rpartition("-")[0]
        if row in self._rows:
            return self._rows[row].folder == name
        return self._table.exists(row)

    def folder(self, row: Row) -> Path:
        """Where an attempt lives; a new attempt never meets the files of the one before."""
        return self._kernel.config.jobs / row.folder

    @abstractmethod
    def _advance(self, row: Row, now: float) -> None:
        """Look at one row and do what is quick; what is not goes to `_work`."""

    @abstractmethod
    def _fail(self, row: Row) -> None:
        """Our own bug: write down that the row's resource suffers from it."""

    def _forget(self, row: str) -> None:
        """Drop what this process remembers of a row that is over or somebody else's."""

    def _is_settled(self, _row: Row) -> bool:
        """True for a row that need not be looked at before the next refresh."""
        return False

    def _refresh(self, now: float, dead: tuple[str, ...]) -> None:
        if now - self._renewed > LEASE / 3 and self._rows:
            self._table.renew(self._owner)
            self._renewed = now
        if dead or self._table.has_free():
            self._table.claim(self._owner, dead)
            self._renewed = now
        known, self._rows = self._rows, {row.id: row for row in self._table.owned(self._owner)}
        for row in known.keys() - self._rows.keys():
            self._troubled.forget(row)
            self._forget(row)
        self._read = now

    def _turn(self, row: Row, now: float) -> None:
        try:
            self._advance(row, now)
        except LeaseLost:
            self._rows.pop(row.id, None)
        except Exception as error:
            if not self._waits(row, error):
                _log.exception("%s of %s %s", row.id, row.kind, row.name)
                self._busy[row.id] = self._threads.submit(self._cope, row)

    def _keep(self, row: Row) -> Row:
        self._rows[row.id] = row
        return row

    def _work(self, row: Row, task: Callable[[Row], None]) -> None:
        self._busy[row.id] = self._threads.submit(self._guarded, task, row)

    def _guarded(self, task: Callable[[Row], None], row: Row) -> None:
        try:
            task(row)
            self._troubled.forget(row.id)
        except LeaseLost:
            _log.warning("%s of %s %s was taken over by another process", row.id, row.kind, row.name)
        except Exception as error:  # our own bug: the resource must not hang, and the loop must go on
            if not self._waits(row, error):
                _log.exception("%s of %s %s", row.id, row.kind, row.name)
                self._cope(row)

    def _cope(self, row: Row) -> None:
        try:
            self._fail(row)
        except LeaseLost:
            _log.warning("%s of %s %s was taken over by another process", row.id, row.kind, row.name)
        except Exception as error:
            if not self._waits(row, error):
                _log.exception("%s of %s %s is tried again later", row.id, row.kind, row.name)
                self._troubled.failed(row.id, self._kernel.clock.monotonic())

    def _waits(self, row: Row, error: Exception) -> bool:
        """Put a row off that suffers from a full disk or a database that is away: nobody's fault, and it passes."""
        sentence = trouble.of(error)
        if sentence is not None:
            _log.warning("%s of %s %s waits: %s", row.id, row.kind, row.name, sentence)
            self._troubled.failed(row.id, self._kernel.clock.monotonic())
        return sentence is not None

    def _discard(self, folder: Path) -> None:
        """Take a folder out of the way, end what runs in it and remove it: a launch that is still on its way finds none."""
        if not folder.exists():
            return
        gone = folder.with_name(f"{GONE}{ids.token(8)}")
        folder.rename(gone)
        self._backend.signal(gone, "kill")
        shutil.rmtree(gone, ignore_errors=True)

    def _clear(self, folder: Path) -> None:
        """Remove the folder of something that is to run no more, with what its shim could not remove itself."""
        self._backend.signal(folder, "kill")
        self._backend.adopt(folder)
        shutil.rmtree(folder, ignore_errors=True)

    def _service(self, row: Row) -> Service:
        service = self._kernel.services.get(row.kind.partition(":")[0])
        assert service is not None
        return service

    def _record(self, row: Row) -> Record:
        """The resource of a row. Raises LookupError when it went away; a new one may have the name of an old one."""
        record = self._kernel.store.get(row.scope, row.kind, row.name)
        if record is None or record.id != row.resource:
            raise LookupError(f"{row.kind} {row.name} went away while it was worked on")
        return record

    def _acting_as(self, row: Row, role: str) -> Context:
        """A context in which the row's service acts on behalf of a role."""
        service = self._service(row)
        principal = self._kernel.identity.service_session(role, service.name)
        return Context(self._kernel, service, "", principal, row.scope.region, ids.request_id())


def sweep(folder: Path, keep: Callable[[str], bool]) -> None:
    """Remove the folders of what is over: a crash may come between the end of something and that of its folder."""
    if not folder.is_dir():
        return
    for entry in os.scandir(folder):
        if entry.name.startswith(GONE) or not keep(entry.name):
            shutil.rmtree(entry.path, ignore_errors=True)
