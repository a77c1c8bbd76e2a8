"""The loop that brings jobs from what is wanted to what is: it starts, observes, collects and adopts; it never waits.

Every step may be interrupted by kill -9 and taken up by the next reconciler: a row says how far a job is, its folder
says what runs. Long work (staging, uploads) happens in threads, one at a time for a job.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from kenja.core import ids
from kenja.core.errors import JobFailed
from kenja.core.log import logger
from kenja.kernel.context import Context
from kenja.kernel.jobs.backends import Backend
from kenja.kernel.jobs.driver import Driver, Job, Outcome
from kenja.kernel.jobs.rows import LEASE, JobRow, LeaseLost
from kenja.kernel.kernel import Kernel

PROGRESS = 1.0  # seconds between two looks at what a running job has done
REFRESH = 0.5  # seconds between two reads of the job table without a poke
GONE = ".gone-"  # how the folder of an attempt begins that nobody waits for any more
STAGERS = 4  # jobs that are staged or collected at once
BUG = "InternalServerError: Kenja failed while it handled this job; its own log tells why under the job's name."
_log = logger(__name__)


class JobLoop:
    """The jobs that this process has leased. `step` is called by one thread; `slots` bounds how many run at once."""

    def __init__(self, kernel: Kernel, backend: Backend, owner: str, slots: int) -> None:
        self._kernel = kernel
        self._backend = backend
        self._owner = owner
        self._slots = slots
        self._threads = ThreadPoolExecutor(STAGERS, thread_name_prefix="job")
        self._busy: dict[str, Future[None]] = {}
        self._rows: dict[str, JobRow] = {}
        self._read = 0.0  # monotonic time of the last read of the table
        self._renewed = 0.0
        self._ending = False
        self._noted: dict[str, float] = {}  # job -> monotonic time of its last progress

    def step(self, *, poked: bool = False, dead: tuple[str, ...] = ()) -> bool:
        """Advance every job as far as it can go now; True while some job is running or being worked on."""
        now = self._kernel.clock.monotonic()
        finished = [job for job, work in self._busy.items() if work.done()]
        for job in finished:
            self._busy.pop(job).result()
        if poked or finished or dead or now - self._read > REFRESH:
            self._refresh(now, dead)
        for row in list(self._rows.values()):
            if row.id not in self._busy:
                try:
                    self._advance(row, now)
                except LeaseLost:
                    del self._rows[row.id]
                except Exception:  # one job's trouble must not stop the others
                    _log.exception("job %s of %s %s", row.id, row.kind, row.name)
                    self._work(row, self._give_up)
        return bool(self._rows)

    def close(self) -> None:
        """Finish the threads' work; running jobs go on and are adopted by the next loop."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def stop_jobs(self) -> None:
        """Ask every running job to stop and start no more, as a server that ends does."""
        self._slots = 0
        self._ending = True
        for row in self._rows.values():
            if row.phase == "running":
                self._backend.signal(self.folder(row), "stop")

    def at_work(self) -> bool:
        """True while a job runs or is staged or collected; those that wait for a place do not count."""
        return bool(self._busy) or any(row.phase != "queued" for row in self._rows.values())

    def knows(self, name: str) -> bool:
        """True for the folder of a job that is not over; of a job that somebody else has leased, for every attempt's."""
        job = name.rpartition("-")[0]
        if job in self._rows:
            return self.folder(self._rows[job]).name == name
        return self._kernel.jobs.exists(job)

    def folder(self, row: JobRow) -> Path:
        """Where an attempt of a job lives; a new attempt never meets the files of the one before."""
        return self._kernel.config.jobs / f"{row.id}-{row.data.get('try', 0)}"

    def _refresh(self, now: float, dead: tuple[str, ...]) -> None:
        rows = self._kernel.jobs
        if now - self._renewed > LEASE / 3 and self._rows:
            rows.renew(self._owner)
            self._renewed = now
        if dead or rows.has_free():
            rows.claim(self._owner, dead)
            self._renewed = now
        self._rows = {row.id: row for row in rows.owned(self._owner)}
        self._read = now

    def _advance(self, row: JobRow, now: float) -> None:
        if row.status is None:
            self._work(row, self._drop)
            return
        stopping = row.status == "Stopping"
        match row.phase:
            case "queued" if stopping:
                self._collect_next(row, Outcome("stopped"))
            case "queued" if self._running() < self._slots:
                self._keep(self._kernel.jobs.move(row, "starting", **{"try": row.data.get("try", 0) + 1}))
                self._work(self._rows[row.id], self._start)
            case "starting":  # a reconciler died here
                self._work(row, self._recover)
            case "running":
                self._watch(row, now, stopping=stopping)
            case "collecting":
                self._work(row, self._collect)

    def _running(self) -> int:
        return sum(row.phase in ("starting", "running") for row in self._rows.values())

    def _recover(self, row: JobRow) -> None:
        if self._backend.observe(self.folder(row)).state != "absent":
            self._kernel.jobs.move(row, "running")
            return
        self._discard(self.folder(row))  # a launch that is still on its way finds no folder and gives up
        self._start(self._kernel.jobs.move(row, "starting", **{"try": row.data.get("try", 0) + 1}))

    def _discard(self, folder: Path) -> None:
        """Take a folder out of the way, end what runs in it and remove it."""
        if not folder.exists():
            return
        gone = folder.with_name(f"{GONE}{ids.token(8)}")
        folder.rename(gone)
        self._backend.signal(gone, "kill")
        shutil.rmtree(gone, ignore_errors=True)

    def _watch(self, row: JobRow, now: float, *, stopping: bool) -> None:
        folder = self.folder(row)
        seen = self._backend.observe(folder)
        if seen.state == "running":
            if (stopping or self._ending) and not row.data.get("stop_sent"):
                self._backend.signal(folder, "stop")
                self._keep(self._kernel.jobs.move(row, "running", stop_sent=True))
            elif now - self._noted.get(row.id, 0.0) > PROGRESS:
                self._noted[row.id] = now
                self._work(row, self._note)
            return
        status = dict(seen.status or {})
        outcome = (
            Outcome(status["cause"], status.get("exit_code"), status=status)
            if seen.state == "exited"
            else Outcome("lost", status=status)
        )
        if outcome.cause == "lost" and not stopping and row.attempt <= row.data.get("retries", 0):
            self._work(row, self._again)
            return
        self._collect_next(row, outcome)

    def _collect_next(self, row: JobRow, outcome: Outcome) -> None:
        self._keep(self._kernel.jobs.move(row, "collecting", outcome=asdict(outcome)))
        self._work(self._rows[row.id], self._collect)

    def _keep(self, row: JobRow) -> None:
        self._rows[row.id] = row

    def _work(self, row: JobRow, task: Callable[[JobRow], None]) -> None:
        self._busy[row.id] = self._threads.submit(self._guarded, task, row)

    def _guarded(self, task: Callable[[JobRow], None], row: JobRow) -> None:
        try:
            task(row)
        except LeaseLost:
            _log.warning("job %s of %s %s was taken over by another reconciler", row.id, row.kind, row.name)
        except Exception:  # our own bug: the job must end with a reason, and the loop must go on
            _log.exception("job %s of %s %s", row.id, row.kind, row.name)
            self._give_up(row)

    def _give_up(self, row: JobRow) -> None:
        """End a job that we ourselves failed, with everything that runs for it."""
        self._backend.signal(self.folder(row), "kill")
        outcome = asdict(Outcome("refused", reason=BUG, status={"bug": True}))
        self._kernel.jobs.move(row, "collecting", outcome=outcome)

    def _again(self, row: JobRow) -> None:
        self._backend.adopt(self.folder(row))
        self._discard(self.folder(row))
        self._kernel.jobs.move(row, "queued", attempt=row.attempt + 1)

    def _start(self, row: JobRow) -> None:
        job, driver = self._job(row)
        job.folder.mkdir(parents=True)
        try:
            plan = driver.prepare(job)
        except JobFailed as error:
            outcome = asdict(Outcome("refused", reason=str(error)))
            self._kernel.jobs.move(row, "collecting", outcome=outcome)
            return
        row = self._kernel.jobs.move(row, "starting", retries=plan.retries)
        self._backend.submit(job.folder, plan)
        self._kernel.jobs.move(row, "running")

    def _note(self, row: JobRow) -> None:
        job, driver = self._job(row)
        driver.progress(job, self._backend.observe(job.folder).status or {})

    def _collect(self, row: JobRow) -> None:
        while not self._collected(row):
            pass  # a stop came in meanwhile: the job ends once more, as one that was stopped
        shutil.rmtree(self.folder(row), ignore_errors=True)

    def _collected(self, row: JobRow) -> bool:
        """Write a job's end; False when its resource changed its state while the outputs were collected."""
        job, driver = self._job(row)
        outcome = Outcome(**row.data["outcome"])
        bug = bool(outcome.status.get("bug"))
        if outcome.cause == "lost":
            self._backend.adopt(job.folder)  # removes what its shim could not
        if bug:
            status, members = "Failed", {"FailureReason": BUG}
        else:
            try:
                driver.progress(job, outcome.status)
                status, members = driver.finish(job, outcome)
            except JobFailed as error:
                status, members = "Failed", {"FailureReason": str(error)}
        lifecycle = job.context.service.resources[job.record.kind.partition(":")[2]].lifecycle
        assert lifecycle is not None
        store = self._kernel.store
        with store.transaction():
            changed = store.change(job.record, status=status, sources=lifecycle.sources(status), members=members)
            if changed is None:
                present = store.get(row.scope, row.kind, row.name)
                if present is not None and present.id == job.record.id and not lifecycle.is_final(present.status or ""):
                    return False
            elif not bug:  # what failed once is not tried again on the way out
                driver.moved(job, changed)
            self._kernel.jobs.finish(row)
        return True

    def _drop(self, row: JobRow) -> None:
        """The resource is gone, with its account: nobody will ask for the job again."""
        folder = self.folder(row)
        self._backend.signal(folder, "kill")
        self._kernel.jobs.finish(row)
        shutil.rmtree(folder, ignore_errors=True)

    def _job(self, row: JobRow) -> tuple[Job, Driver]:
        record = self._kernel.store.get(row.scope, row.kind, row.name)
        if record is None or record.id != row.data["resource"]:
            raise LookupError(f"{row.kind} {row.name} went away while its job was at work")
        service = self._kernel.services.get(row.kind.partition(":")[0])
        assert service is not None
        driver = service.drivers[row.driver]
        principal = self._kernel.identity.service_session(driver.role(record), service.name)
        context = Context(self._kernel, service, "", principal, row.scope.region, ids.request_id())
        return Job(context, record, row, self.folder(row)), driver


def sweep(kernel: Kernel, keep: Callable[[str], bool]) -> None:
    """Remove the folders of jobs that are over: a crash may come between a job's end and its folder's."""
    folder = kernel.config.jobs
    if not folder.is_dir():
        return
    for entry in os.scandir(folder):
        if entry.name.startswith(GONE) or not keep(entry.name):
            shutil.rmtree(entry.path, ignore_errors=True)
