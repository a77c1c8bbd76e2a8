"""The loop that keeps replicas running: it starts, pings, replaces, ends and adopts them; it never waits.

Like the loop of jobs it may be killed at any moment: a row says how far a replica is, its folder says what runs.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from kenja.core import ids
from kenja.core.errors import JobFailed
from kenja.core.log import logger
from kenja.kernel.context import Context
from kenja.kernel.hosting.asking import answers_ping
from kenja.kernel.hosting.host import SOCKET, Host, Replica
from kenja.kernel.hosting.routes import STALE
from kenja.kernel.hosting.rows import ReplicaRow
from kenja.kernel.jobs.backends import Backend, Observation
from kenja.kernel.jobs.reconcile import GONE
from kenja.kernel.jobs.rows import LEASE
from kenja.kernel.kernel import Kernel
from kenja.kernel.resources.store import Record

FOLDER = "hosting"  # in the data folder: what the replicas of a resource share
REFRESH = 0.5  # seconds between two reads of the table without a poke
STAGERS = 4  # replicas that are staged or pinged at once
PING = (
    2.0  # seconds for one ping; SageMaker developer guide, "How your container should respond to health check requests"
)
START = 240.0  # seconds until the ping must pass; same page
ATTEMPTS = 3  # launches of a replica that never served and was killed from outside
FIRST_DELAY, MAX_DELAY = 0.25, 30.0  # seconds before a dead replica is started again, doubling
LEAVE = 10.0  # seconds that a server that ends gives its replicas
PING_FAILED = "did not pass the ping health check"
BUG = "Kenja failed while it started this endpoint; its own log tells why under the endpoint's name."
_log = logger(__name__)


class HostingLoop:
    """The replicas that this process has leased. `step` is called by one thread."""

    def __init__(self, kernel: Kernel, backend: Backend, owner: str) -> None:
        self._kernel = kernel
        self._backend = backend
        self._owner = owner
        self._threads = ThreadPoolExecutor(STAGERS, thread_name_prefix="replica")
        self._busy: dict[str, Future[None]] = {}
        self._rows: dict[str, ReplicaRow] = {}
        self._read = -REFRESH  # monotonic time of the last read of the table
        self._renewed = 0.0
        self._closing: dict[str, float] = {}  # replica -> monotonic time from which it may be stopped

    def step(self, *, poked: bool = False, dead: tuple[str, ...] = ()) -> bool:
        """Advance every replica as far as it can go now; True while some of them are on their way to another state."""
        now = self._kernel.clock.monotonic()
        finished = [replica for replica, work in self._busy.items() if work.done()]
        for replica in finished:
            self._busy.pop(replica).result()
        if poked or finished or dead or now - self._read > REFRESH:
            self._refresh(now, dead)
        for row in list(self._rows.values()):
            if row.id not in self._busy:
                try:
                    self._advance(row, now)
                except Exception:  # one replica's trouble must not stop the others
                    _log.exception("replica %s of %s %s", row.id, row.kind, row.name)
                    self._work(row, lambda row: self._again(row, BUG))
        return bool(self._busy) or any(not self._is_settled(row) for row in self._rows.values())

    def stop_replicas(self) -> None:
        """End all replicas, as a server that ends does; the next one starts them again."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        rows = [row for row in self._kernel.hosting.owned(self._owner) if row.phase != "ended"]
        for row in rows:
            self._backend.signal(self._folder(row), "stop")
            if row.status is not None:
                self._kernel.hosting.move(row, "queued", not_before=0.0, failures=0)
        deadline = self._kernel.clock.monotonic() + LEAVE
        for row in rows:
            while self._backend.observe(self._folder(row)).state == "running":
                if self._kernel.clock.monotonic() > deadline:
                    self._backend.signal(self._folder(row), "kill")
                    break
                threading.Event().wait(0.01)

    def knows(self, name: str) -> bool:
        """True for the folder of a replica that is not over; of one that somebody else has leased, for every attempt's."""
        replica = name.rpartition("-")[0]
        if replica in self._rows:
            return self._rows[replica].folder == name
        return self._kernel.hosting.exists(replica)

    def sweep(self) -> None:
        """Remove what resources that are gone had shared."""
        folder = self._kernel.config.data / FOLDER
        known = {str(row.resource) for row in self._rows.values()}
        for entry in os.scandir(folder) if folder.is_dir() else ():
            if entry.name not in known and not self._kernel.hosting.of(int(entry.name)):
                shutil.rmtree(entry.path, ignore_errors=True)

    def _refresh(self, now: float, dead: tuple[str, ...]) -> None:
        rows = self._kernel.hosting
        if now - self._renewed > LEASE / 3 and self._rows:
            rows.renew(self._owner)
            self._renewed = now
        rows.claim(self._owner, dead)
        self._rows = {row.id: row for row in rows.owned(self._owner)}
        self._read = now

    def _is_settled(self, row: ReplicaRow) -> bool:
        return row.phase == "ended" or (row.phase == "ready" and row.serving)

    def _advance(self, row: ReplicaRow, now: float) -> None:
        if row.status is None:
            self._work(row, self._drop)
        elif row.status not in self._host(row).wanted:
            self._wind_down(row, now)
        elif row.phase == "queued":
            if self._kernel.clock.wall() >= row.data.get("not_before", 0.0):
                fresh = {"try": row.data.get("try", 0) + 1, "since": self._kernel.clock.wall()}
                self._keep(self._kernel.hosting.move(row, "starting", **fresh))
                self._work(self._rows[row.id], self._start)
        elif row.phase == "starting":  # a reconciler died here
            self._recover(row)
        elif row.phase in ("launched", "ready"):
            self._watch(row)

    def _recover(self, row: ReplicaRow) -> None:
        if self._backend.observe(self._folder(row)).state != "absent":
            self._keep(self._kernel.hosting.move(row, "launched"))
            return
        old = self._folder(row)  # a launch that is still on its way finds no folder and gives up
        if old.exists():
            gone = old.with_name(f"{GONE}{ids.token(8)}")
            old.rename(gone)
            self._backend.signal(gone, "kill")  # unless it wrote its pid a moment ago
        self._keep(self._kernel.hosting.move(row, "queued"))

    def _watch(self, row: ReplicaRow) -> None:
        seen = self._backend.observe(self._folder(row))
        if seen.state != "running":
            self._work(row, lambda row: self._ended(row, seen))
        elif row.phase == "launched":
            if (self._folder(row) / "run" / SOCKET).exists():
                self._work(row, self._ping)
            elif self._kernel.clock.wall() - row.data["since"] > START:
                self._backend.signal(self._folder(row), "kill")
                self._work(row, lambda row: self._give_up(row, f"{PING_FAILED} within {START:.0f} seconds"))
        elif not row.serving and all(other.phase == "ready" for other in self._siblings(row)):
            self._work(row, self._open)

    def _siblings(self, row: ReplicaRow) -> list[ReplicaRow]:
        return [other for other in self._rows.values() if other.resource == row.resource]

    def _serves(self, row: ReplicaRow) -> bool:
        return any(other.serving for other in self._kernel.hosting.of(row.resource))

    def _wind_down(self, row: ReplicaRow, now: float) -> None:
        """Stop a replica whose resource is wanted no longer, after every gateway has seen that the route is gone."""
        folder = self._folder(row)
        if row.phase == "ended":
            leaving = row.status == self._host(row).leaving
            siblings = self._siblings(row)
            if leaving and row is siblings[0] and all(other.phase == "ended" for other in siblings):
                self._work(row, self._finish)
            return
        if self._backend.observe(folder).state != "running":
            self._work(row, self._put_away)
        elif row.id not in self._closing:
            self._closing[row.id] = now + (STALE if row.phase == "ready" else 0.0)
        elif now >= self._closing[row.id]:
            self._backend.signal(folder, "stop")

    def _start(self, row: ReplicaRow) -> None:
        replica, host = self._replica(row)
        replica.folder.mkdir(parents=True)
        try:
            plan = host.prepare(replica)
        except JobFailed as error:
            self._give_up(row, str(error))
            return
        self._backend.submit(replica.folder, plan)
        self._kernel.hosting.move(row, "launched")

    def _ping(self, row: ReplicaRow) -> None:
        if answers_ping(self._folder(row) / "run" / SOCKET, PING):
            self._kernel.hosting.move(row, "ready", since=self._kernel.clock.wall())

    def _open(self, row: ReplicaRow) -> None:
        replica, host = self._replica(row)
        rows = self._kernel.hosting
        with self._kernel.store.transaction():
            if all(other.phase == "ready" for other in rows.of(row.resource)) and host.opened(
                replica.context, replica.record
            ):
                rows.route(row.resource, serving=True)

    def _ended(self, row: ReplicaRow, seen: Observation) -> None:
        """Start a replica that died again, or give its resource up when it never served and died of itself."""
        status = dict(seen.status or {})
        by_itself = seen.state == "exited" and status.get("cause") in ("exit", "memory", "launch")
        said = str(status.get("stderr_tail") or "").strip().rpartition("\n")[2]
        if by_itself and status.get("signal") is None and not self._serves(row):
            self._give_up(row, PING_FAILED, said)
            return
        _log.warning("replica %s of %s %s ended: %s %s", row.id, row.kind, row.name, seen.state, said)
        self._again(row, PING_FAILED)

    def _give_up(self, row: ReplicaRow, reason: str, said: str = "") -> None:
        """The resource fails if it never served; else the replica is tried again later."""
        if self._serves(row):
            _log.warning("replica %s of %s %s can not be started: %s %s", row.id, row.kind, row.name, reason, said)
            self._again(row, reason)
            return
        replica, host = self._replica(row)
        if reason.startswith(PING_FAILED):
            reason = (
                f"The primary container for production variant {row.variant} {reason}. "
                "Please check CloudWatch logs for this endpoint."
            )
            reason += f" It said: {said}" if said else ""
        with self._kernel.store.transaction():
            host.failed(replica.context, replica.record, reason)

    def _again(self, row: ReplicaRow, reason: str) -> None:
        failures = row.data.get("failures", 0)
        lived = self._kernel.clock.wall() - row.data.get("since", 0.0)
        if row.phase == "ready" and lived > MAX_DELAY:
            failures = 0
        if failures + 1 >= ATTEMPTS and not self._serves(row):
            self._give_up(row, reason)
            return
        delay = min(FIRST_DELAY * 2**failures, MAX_DELAY)
        self._backend.adopt(self._folder(row))
        shutil.rmtree(self._folder(row), ignore_errors=True)
        due = self._kernel.clock.wall() + delay
        self._kernel.hosting.move(row, "queued", failures=failures + 1, not_before=due)

    def _put_away(self, row: ReplicaRow) -> None:
        self._backend.adopt(self._folder(row))
        shutil.rmtree(self._folder(row), ignore_errors=True)
        self._kernel.hosting.move(row, "ended")

    def _finish(self, row: ReplicaRow) -> None:
        replica, host = self._replica(row)
        with self._kernel.store.transaction():
            host.gone(replica.context, replica.record)
            self._kernel.hosting.forget(row.resource)
        shutil.rmtree(replica.shared, ignore_errors=True)

    def _drop(self, row: ReplicaRow) -> None:
        """The resource went away with its account: its replicas end at once."""
        for other in self._kernel.hosting.of(row.resource):
            self._backend.signal(self._folder(other), "kill")
            shutil.rmtree(self._folder(other), ignore_errors=True)
        self._kernel.hosting.forget(row.resource)
        shutil.rmtree(self._shared(row), ignore_errors=True)

    def _keep(self, row: ReplicaRow) -> None:
        self._rows[row.id] = row

    def _work(self, row: ReplicaRow, task: Callable[[ReplicaRow], None]) -> None:
        self._busy[row.id] = self._threads.submit(self._guarded, task, row)

    def _guarded(self, task: Callable[[ReplicaRow], None], row: ReplicaRow) -> None:
        try:
            task(row)
        except Exception:  # our own bug: the resource must not hang, and the loop must go on
            _log.exception("replica %s of %s %s", row.id, row.kind, row.name)
            if self._kernel.hosting.of(row.resource):
                self._again(row, BUG)

    def _replica(self, row: ReplicaRow) -> tuple[Replica, Host]:
        record = self._kernel.store.get(row.scope, row.kind, row.name)
        if record is None or record.id != row.resource:
            raise LookupError(f"{row.kind} {row.name} went away while its replica was at work")
        host = self._host(row)
        return Replica(self._context(row, host, record), record, row, self._folder(row), self._shared(row)), host

    def _context(self, row: ReplicaRow, host: Host, record: Record) -> Context:
        service = self._kernel.services.get(row.kind.partition(":")[0])
        assert service is not None
        principal = self._kernel.identity.service_session(host.role(record), service.name)
        return Context(self._kernel, service, "", principal, row.scope.region, ids.request_id())

    def _host(self, row: ReplicaRow) -> Host:
        service = self._kernel.services.get(row.kind.partition(":")[0])
        assert service is not None
        return service.hosts[row.host]

    def _folder(self, row: ReplicaRow) -> Path:
        return self._kernel.config.jobs / row.folder

    def _shared(self, row: ReplicaRow) -> Path:
        return self._kernel.config.data / FOLDER / str(row.resource)
