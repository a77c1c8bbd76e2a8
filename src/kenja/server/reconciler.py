"""The reconciler's process: one loop over jobs, replicas and events, woken by pokes; adopts what an earlier one left."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from pathlib import Path

from kenja.core import log, trouble, unixsocket
from kenja.core.config import Config
from kenja.kernel.events import delivery
from kenja.kernel.hosting.loop import HostingLoop
from kenja.kernel.jobs import capabilities
from kenja.kernel.jobs.backends.local import LocalBackend
from kenja.kernel.jobs.reconcile import JobLoop
from kenja.kernel.kernel import Kernel
from kenja.kernel.leases.loop import sweep
from kenja.server import settings, starting
from kenja_worker.shim import processes

BUSY = 0.02  # seconds between two looks while something runs
TEND = 1.0  # seconds between two rounds of housekeeping
IDLE = 0.5  # seconds between two looks while nothing does
FORGET = 600.0  # seconds between two looks for idempotency tokens that are too old
WAIT = 2.0  # seconds until a disk or database in trouble is tried again

_log = log.logger(__name__)


class Reconciler:
    """Runs until `ending` is set, as a signal handler may do."""

    def __init__(self, config: Config, ending: threading.Event) -> None:
        self.kernel = Kernel(config)
        self.kernel.open()
        capabilities.explore(config.run, config.rung)
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"
        backend = LocalBackend(config.run / "zygotes", self.kernel.clock)
        self.jobs = JobLoop(self.kernel, backend, self.owner, slots=os.cpu_count() or 1)
        self.hosting = HostingLoop(self.kernel, backend, self.owner)
        self._wake = _listen(config.run / "reconciler.sock")
        self._ending = ending
        self._tended = self._forgotten = 0.0

    def run(self) -> None:
        """The loop itself."""
        self._take_over()
        sweep(self.kernel.config.jobs, lambda name: self.jobs.knows(name) or self.hosting.knows(name))
        self.hosting.sweep()
        poked = False
        while not self._ending.is_set():
            poked = self._wait(self._turn(poked=poked))
        self.jobs.stop_jobs()
        self.hosting.stop_replicas()
        while self.jobs.step(poked=True) and self.jobs.at_work():
            self._wait(BUSY)
        self.jobs.close()
        self.kernel.close()

    def _turn(self, *, poked: bool) -> float:
        """One round; the seconds until the next. A disk that is full or a database that is away ends nothing."""
        try:
            busy = self.jobs.step(poked=poked) | self.hosting.step(poked=poked)
            delivery.step(self.kernel)
            self._tend()
        except Exception as error:
            sentence = trouble.of(error)
            if sentence is None:
                raise
            _log.warning("the reconciler waits: %s", sentence)
            return WAIT
        return BUSY if busy else IDLE

    def _tend(self) -> None:
        """A little housekeeping about once a second."""
        now = self.kernel.clock.monotonic()
        if now - self._tended > TEND:
            self._tended = now
            self._take_over()  # whoever was killed with its server may have been dying still when this process began
            self.kernel.objects.tend()
            if now - self._forgotten > FORGET:
                self._forgotten = now
                self.kernel.store.forget_tokens()

    def _take_over(self) -> None:
        """Lease what owners that are dead have left."""
        owners = {*self.kernel.jobs.owners(), *self.kernel.hosting.owners()} - {self.owner}
        dead = tuple(owner for owner in owners if not _alive(owner))
        if dead:
            self.jobs.step(poked=True, dead=dead)
            self.hosting.step(poked=True, dead=dead)

    def _wait(self, seconds: float) -> bool:
        """Sleep until a poke or for `seconds`; True when poked."""
        readable, _, _ = select.select([self._wake], [], [], seconds)
        if not readable:
            return False
        while True:
            try:
                self._wake.recv(64)
            except BlockingIOError:
                return True


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with unixsocket.address(path) as place:
        line.bind(place)
    line.setblocking(False)
    return line


def _started(pid: int) -> str:
    """When a process started, which tells it from a later one with the same number; "" when it has ended."""
    return processes.start_time(pid) or ""


def _alive(owner: str) -> bool:
    """False when the owner was a process of this machine that is gone; others are waited for until their lease ends."""
    host, pid, started = owner.rsplit(":", 2)
    return host != socket.gethostname() or _started(int(pid)) == started != ""


def main() -> None:
    """Run with the settings that the supervisor put into the environment."""
    log.configure_from()
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # before anything else: jobs that were left are stopped even then
        signal.signal(number, lambda _number, _frame: ending.set())
    with starting.told():
        reconciler = Reconciler(settings.received(), ending)
    reconciler.run()


if __name__ == "__main__":
    main()
