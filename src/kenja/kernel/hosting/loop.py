"""What the loop over leased rows does with replicas: it starts, pings, replaces, ends and adopts them.

Times of one launch are monotonic and known to this process only: a wall clock that jumps delays and kills nothing, and
after a crash they begin anew.
"""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

from kenja.core.errors import JobFailed
from kenja.core.log import logger
from kenja.kernel.hosting.asking import answers_ping
from kenja.kernel.hosting.host import SOCKET, Host, Replica
from kenja.kernel.hosting.routes import STALE
from kenja.kernel.hosting.rows import ReplicaRow
from kenja.kernel.jobs.backends import Backend, Observation
from kenja.kernel.kernel import Kernel
from kenja.kernel.leases import LeaseLost
from kenja.kernel.leases.backoff import LONGEST, Backoff
from kenja.kernel.leases.loop import LeaseLoop

FOLDER = "hosting"  # in the data folder: what the replicas of a resource share
PING = (
    2.0  # seconds for one ping; SageMaker developer guide, "How your container should respond to health check requests"
)
START = 240.0  # seconds until the ping must pass; same page
PROBE = 5.0  # seconds between two pings of a replica that serves
PATIENCE = 10.0  # seconds for such a ping: a single-threaded server may be at work on a large batch
ATTEMPTS = 3  # launches of a replica that never served and was killed from outside
LEAVE = 10.0  # seconds that a server that ends gives its replicas
PING_FAILED = "did not pass the ping health check"
BUG = "Kenja failed while it started this endpoint; its own log tells why under the endpoint's name."
_log = logger(__name__)


class HostingLoop(LeaseLoop[ReplicaRow]):
    """The replicas that this process has leased."""

    def __init__(self, kernel: Kernel, backend: Backend, owner: str) -> None:
        super().__init__(kernel, kernel.hosting, backend, owner)
        self._since: dict[str, float] = {}  # replica -> monotonic time of its launch, then of its first answer
        self._switched: dict[
            int, float
        ] = {}  # resource -> monotonic time from which its newest revision has the requests
        self._pinged: dict[str, float] = {}  # replica -> monotonic time of the last ping that it answered
        self._delays = Backoff()  # before a dead replica is started again
        self._closing: dict[str, float] = {}  # replica -> monotonic time from which it may be stopped

    def stop_replicas(self) -> None:
        """End all replicas, as a server that ends does; the next one starts them again."""
        self.close()
        rows = [row for row in self._kernel.hosting.owned(self._owner) if row.phase != "ended"]
        for row in rows:
            self._backend.signal(self.folder(row), "stop")
            if row.status is not None:
                with suppress(LeaseLost):  # somebody else starts it again, and need not be told
                    self._kernel.hosting.move(row, "queued", failures=0)
        deadline = self._kernel.clock.monotonic() + LEAVE
        for row in rows:
            while self._backend.observe(self.folder(row)).state == "running":
                if self._kernel.clock.monotonic() > deadline:
                    self._backend.signal(self.folder(row), "kill")
                    break
                threading.Event().wait(0.01)

    def sweep(self) -> None:
        """Remove what resources that are gone had shared."""
        folder = self._kernel.config.data / FOLDER
        known = {str(row.resource) for row in self._rows.values()}
        for entry in os.scandir(folder) if folder.is_dir() else ():
            if entry.name not in known and not self._kernel.hosting.of(int(entry.name)):
                shutil.rmtree(entry.path, ignore_errors=True)

    def _forget(self, row: str) -> None:
        self._since.pop(row, None)
        self._pinged.pop(row, None)
        self._closing.pop(row, None)
        self._delays.forget(row)

    def _is_settled(self, row: ReplicaRow) -> bool:
        if row.retired:
            return False
        return row.phase == "ended" or (
            row.phase == "ready" and row.serving and row.status not in self._host(row).waiting
        )

    def _advance(self, row: ReplicaRow, now: float) -> None:
        if row.status is None:
            self._work(row, self._drop)
        elif row.retired or row.status not in self._host(row).wanted:
            self._wind_down(row, now)
        elif row.phase == "queued":
            if self._delays.is_due(row.id, now):
                row = self._keep(self._kernel.hosting.move(row, "starting", **{"try": row.data.get("try", 0) + 1}))
                self._since[row.id] = now
                self._work(row, self._start)
        elif row.phase == "starting":  # a reconciler died here
            self._work(row, self._recover)
        elif row.phase in ("launched", "ready"):
            self._watch(row, now)

    def _recover(self, row: ReplicaRow) -> None:
        if self._backend.observe(self.folder(row)).state != "absent":
            self._kernel.hosting.move(row, "launched")
            return
        self._discard(self.folder(row))
        self._kernel.hosting.move(row, "queued")

    def _watch(self, row: ReplicaRow, now: float) -> None:
        seen = self._backend.observe(self.folder(row))
        if seen.state != "running":
            self._work(row, lambda row: self._ended(row, seen))
        elif row.phase == "launched":
            if (self.folder(row) / "run" / SOCKET).exists():
                self._work(row, self._ping)
            elif now - self._since.setdefault(row.id, now) > START:
                self._backend.signal(self.folder(row), "kill")
                self._work(row, lambda row: self._give_up(row, f"{PING_FAILED} within {START:.0f} seconds"))
        elif row.status in self._host(row).waiting and self._is_complete(row, list(self._rows.values())):
            if not row.serving:
                self._work(row, self._switch)
            elif now - self._switched.setdefault(row.resource, now) > STALE:
                self._work(row, self._open)
        elif now - self._pinged.setdefault(row.id, now) > PROBE:
            self._work(row, self._probe)

    def _is_complete(self, row: ReplicaRow, rows: list[ReplicaRow]) -> bool:
        """True when the newest revision of a resource is this replica's, and all that it needs are ready."""
        ours = [other for other in rows if other.resource == row.resource and not other.retired]
        newest = max((other.revision for other in ours), default=0)
        return row.revision == newest and all(other.phase == "ready" for other in ours if other.revision == newest)

    def _serves(self, row: ReplicaRow) -> bool:
        """True when the revision has served: it is kept alive, whatever happens to its replicas."""
        return any(other.serving and other.revision == row.revision for other in self._kernel.hosting.of(row.resource))

    def _wind_down(self, row: ReplicaRow, now: float) -> None:
        """Stop a replica whose resource is wanted no longer, after every gateway has seen that the route is gone."""
        folder = self.folder(row)
        if row.phase == "ended":
            siblings = [other for other in self._rows.values() if other.resource == row.resource]
            if row.status != self._host(row).leaving:
                if row.retired:
                    self._work(row, self._remove)
            elif row is siblings[0] and all(other.phase == "ended" for other in siblings):
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
        if answers_ping(self.folder(row) / "run" / SOCKET, PING):
            self._kernel.hosting.move(row, "ready")
            self._since[row.id] = self._pinged[row.id] = self._kernel.clock.monotonic()

    def _probe(self, row: ReplicaRow) -> None:
        """A server that runs and does not answer is as good as dead; its end is seen, and another one is started."""
        if answers_ping(self.folder(row) / "run" / SOCKET, PATIENCE):
            self._pinged[row.id] = self._kernel.clock.monotonic()
        elif self._backend.observe(self.folder(row)).state == "running":
            _log.warning("replica %s of %s %s hangs: no answer to a ping in %g s", row.id, row.kind, row.name, PATIENCE)
            self._backend.signal(self.folder(row), "kill")

    def _switch(self, row: ReplicaRow) -> None:
        """Let requests through to the newest revision; its resource is told when no gateway uses the one before any more."""
        replica, host = self._replica(row)
        rows = self._kernel.hosting
        with self._kernel.store.transaction():
            ours = rows.of(row.resource)
            if self._is_complete(row, ours) and replica.record.status in host.waiting:
                rows.open(row.resource, row.revision)
                if not any(other.serving for other in ours):
                    host.opened(replica.context, replica.record, row.revision)

    def _open(self, row: ReplicaRow) -> None:
        replica, host = self._replica(row)
        with self._kernel.store.transaction():
            host.opened(replica.context, replica.record, row.revision)
        self._switched.pop(row.resource, None)

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
            host.failed(replica.context, replica.record, row.revision, reason)
            others = self._kernel.hosting.of(row.resource)
            if any(other.serving for other in others):  # an update failed: the revision before goes on
                self._kernel.hosting.retire([other for other in others if other.revision == row.revision])

    def _again(self, row: ReplicaRow, reason: str) -> None:
        now = self._kernel.clock.monotonic()
        failures = row.data.get("failures", 0)
        if row.phase == "ready" and now - self._since.get(row.id, now) > LONGEST:
            failures = 0
            self._delays.forget(row.id)
        if failures + 1 >= ATTEMPTS and not self._serves(row):
            self._give_up(row, reason)
            return
        self._clear(self.folder(row))
        self._delays.failed(row.id, now)
        self._kernel.hosting.move(row, "queued", failures=failures + 1)

    def _put_away(self, row: ReplicaRow) -> None:
        self._clear(self.folder(row))
        self._kernel.hosting.move(row, "ended")

    def _remove(self, row: ReplicaRow) -> None:
        self._kernel.hosting.remove(row)
        if all(other.revision != row.revision for other in self._kernel.hosting.of(row.resource)):
            shutil.rmtree(self._shared(row), ignore_errors=True)

    def _finish(self, row: ReplicaRow) -> None:
        replica, host = self._replica(row)
        with self._kernel.store.transaction():
            if any(other.phase != "ended" for other in self._kernel.hosting.of(row.resource)):
                return  # somebody else has leased them
            host.gone(replica.context, replica.record)
            self._kernel.hosting.forget(row.resource)
        shutil.rmtree(replica.shared.parent, ignore_errors=True)

    def _drop(self, row: ReplicaRow) -> None:
        """The resource went away with its account: its replicas end at once."""
        for other in self._kernel.hosting.of(row.resource):
            self._backend.signal(self.folder(other), "kill")
            shutil.rmtree(self.folder(other), ignore_errors=True)
        self._kernel.hosting.forget(row.resource)
        shutil.rmtree(self._shared(row).parent, ignore_errors=True)

    def _fail(self, row: ReplicaRow) -> None:
        if self._kernel.hosting.of(row.resource):
            self._again(row, BUG)

    def _replica(self, row: ReplicaRow) -> tuple[Replica, Host]:
        record, host = self._record(row), self._host(row)
        context = self._acting_as(row, host.role(record, row))
        return Replica(context, record, row, self.folder(row), self._shared(row)), host

    def _host(self, row: ReplicaRow) -> Host:
        return self._service(row).hosts[row.host]

    def _shared(self, row: ReplicaRow) -> Path:
        return self._kernel.config.data / FOLDER / str(row.resource) / str(row.revision)
