"""What the loop over leased rows does with jobs: it starts, observes, collects and adopts them. Leases and threads are the loop's."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from kenja.core import trouble
from kenja.core.errors import JobFailed
from kenja.kernel.jobs.backends import Backend
from kenja.kernel.jobs.driver import Driver, Job, Outcome, Plan
from kenja.kernel.jobs.gates import TAKEN, taken
from kenja.kernel.jobs.rows import JobRow
from kenja.kernel.kernel import Kernel
from kenja.kernel.leases.loop import LeaseLoop
from kenja.kernel.telemetry import segments

PROGRESS = 1.0  # seconds between two looks at what a running job has done
BUG = "InternalServerError: Kenja failed while it handled this job; its own log tells why under the job's name."
MARGIN = 1 << 20  # bytes; a disk with less is full
NOTHING_MADE = ("refused", "lost", "launch")  # causes of an end that leave no outputs to collect


class JobLoop(LeaseLoop[JobRow]):
    """The jobs that this process has leased; `slots` bounds how many run at once."""

    def __init__(self, kernel: Kernel, backend: Backend, owner: str, slots: int) -> None:
        super().__init__(kernel, kernel.jobs, backend, owner)
        self._slots = slots
        self._ending = False
        self._noted: dict[str, float] = {}  # job -> monotonic time of its last progress
        self._room, self._counted = 0, float("-inf")  # jobs that may still be started in the step that began then

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

    def _advance(self, row: JobRow, now: float) -> None:
        if row.status is None:
            self._work(row, self._drop)
            return
        stopping = row.status == "Stopping"
        match row.phase:
            case "queued" if row.is_held:
                return
            case "queued" if stopping:
                self._collect_next(row, Outcome("stopped"))
            case "queued" if self._has_room(now):
                self._room -= 1
                self._work(self._keep(self._next_try(row, **_step(row))), self._start)
            case "starting":  # a reconciler died here
                self._work(row, self._recover)
            case "running":
                self._watch(row, now, stopping=stopping)
            case "collecting":
                self._work(row, self._collect)

    def _forget(self, row: str) -> None:
        self._noted.pop(row, None)

    def _is_settled(self, row: JobRow) -> bool:
        return row.is_held

    def _has_room(self, now: float) -> bool:
        """True while another job may run; counted once in a step, as many may wait."""
        if self._counted != now:
            self._counted = now
            self._room = self._slots - sum(row.phase in ("starting", "running") for row in self._rows.values())
        return self._room > 0

    def _recover(self, row: JobRow) -> None:
        if self._backend.observe(self.folder(row)).state != "absent":
            self._kernel.jobs.move(row, "running")
            return
        self._discard(self.folder(row))  # a launch that is still on its way finds no folder and gives up
        self._start(self._next_try(row))

    def _next_try(self, row: JobRow, **step: int) -> JobRow:
        return self._kernel.jobs.move(row, "starting", **{"try": row.data.get("try", 0) + 1, **step})

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
        if row.is_held and not self._ending:
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
        self._work(row, lambda row: self._end(row, outcome))

    def _end(self, row: JobRow, outcome: Outcome) -> None:
        """Write down how a job ended, and collect it. A shim that a full disk has killed could not say so itself."""
        folder = self.folder(row)
        if outcome.cause == "lost" and folder.is_dir() and shutil.disk_usage(folder).free < MARGIN:
            outcome = Outcome("refused", reason=f"InternalServerError: the job could not go on. {trouble.FULL}")
            self._backend.adopt(folder)
        if outcome.cause in NOTHING_MADE:
            _make_room(folder)
        self._collect(self._kernel.jobs.move(row, "collecting", outcome=asdict(outcome), **_step(row)))

    def _fail(self, row: JobRow) -> None:
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
            plan = _prepared(driver, job)
        except JobFailed as error:
            _make_room(job.folder)
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
        with suppress(OSError, ValueError):  # there is none when it was never started
            segments.sync(self._backend.logs(job.folder))
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
        record = self._record(row)
        driver = self._service(row).drivers[row.driver]
        return Job(self._acting_as(row, driver.role(record)), record, row, self.folder(row)), driver


def _step(row: JobRow) -> dict[str, int]:
    """What a job notes when it passes a gate."""
    return {} if row.steps is None else {TAKEN: taken(row.data) + 1}


def _prepared(driver: Driver, job: Job) -> Plan:
    """The driver's plan; what the disk refuses while inputs are staged is told to the job's owner. Raises JobFailed."""
    try:
        return driver.prepare(job)
    except OSError as error:
        sentence = trouble.of(error)
        if sentence is None:
            raise
        raise JobFailed(f"InternalServerError: the inputs could not be staged. {sentence}") from error


def _make_room(folder: Path) -> None:
    """Remove what was staged for a job that left no outputs: on a full disk its end could not even be written down."""
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
