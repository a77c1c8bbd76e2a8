"""`kenja serve`: holds the port, runs gateway and reconciler, starts again what dies. It serves nothing itself.

It imports only the standard library, so that it costs little memory; it outlives its children, so a client that
connects while the gateway is being restarted waits in the socket's queue instead of being refused.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO

from kenja.core.config import Config
from kenja.server import presence, settings
from kenja.server.starting import UNUSABLE

BACKLOG = 1024  # connections that may wait while the gateway starts
READY_TIMEOUT = 60.0  # seconds that the gateway may take to start
STOP_TIMEOUT = 150.0  # seconds: a training job's grace of 120 and then some
PR_SET_PDEATHSIG = 1
_MODULES = {"gateway": "kenja.server.gateway", "reconciler": "kenja.server.reconciler"}


class DataInUse(Exception):  # noqa: N818 - what is the matter
    """Another server already works on this data folder."""


class DataUnusable(Exception):  # noqa: N818 - what is the matter
    """The data folder can not be written to."""


class Supervisor:
    """The processes of one server."""

    def __init__(self, config: Config) -> None:
        try:
            config.data.mkdir(parents=True, exist_ok=True)
            config.data.chmod(0o700)
            self._lock = _lock(config.run / "lock")
            (config.run / "capabilities.json").unlink(missing_ok=True)  # the reconciler tries this machine anew
        except OSError as error:
            raise DataUnusable(f"can not write to the data folder {config.data}: {error.strerror}") from error
        self._socket = _listen(config.host, config.port)
        self.config = replace(config, port=self._socket.getsockname()[1])
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self._ready, self._ready_end = os.pipe()
        self._announced = False
        self._ending = False
        self._began = time.monotonic()

    def run(self, announce: Callable[[str], None]) -> int:
        """Serve until SIGTERM or SIGINT; calls `announce` with the address once requests are answered."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        for name in _MODULES:
            self._start(name)
        while not self._ending:
            if not self._announced:
                readable, _, _ = select.select([self._ready], [], [], 0.05)
                if readable:
                    self._announced = True
                    presence.announce(self.config)
                    announce(self.config.endpoint)
                elif time.monotonic() - self._began > READY_TIMEOUT:
                    self._stop()
                    return 1
            else:
                time.sleep(0.05)
            if self._restart_dead():
                self._stop()
                return 1
        self._stop()
        return 0

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True

    def _start(self, name: str) -> None:
        environment = {
            **os.environ,
            **settings.sent(self.config),
            "KENJA_SOCKET": str(self._socket.fileno()),
            "KENJA_READY": str(self._ready_end),
        }
        self._children[name] = subprocess.Popen(
            [sys.executable, "-m", _MODULES[name]],
            env=environment,
            pass_fds=(self._socket.fileno(), self._ready_end) if name == "gateway" else (),
            stdin=subprocess.DEVNULL,
            preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 - the supervisor has one thread
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which ends its children in order
        )
        self._started[name] = time.monotonic()

    def _restart_dead(self) -> bool:
        """Start again what died; True when one of them has said that this is no use."""
        for name, child in list(self._children.items()):
            if child.poll() is None:
                continue
            lived = time.monotonic() - self._started[name]
            if child.returncode == UNUSABLE and not self._announced:
                return True  # it has told why; what was usable once is tried again for ever
            _tell(f"kenja: {name} ended with {child.returncode} after {lived:.1f} s; starting it again")
            if lived < 1:
                time.sleep(0.5)  # a child that can not start must not take the whole machine
            self._start(name)
        return False

    def _stop(self) -> None:
        """The gateway first, so that nothing new arrives; then the reconciler, which gives its jobs their grace."""
        presence.withdraw(self.config)
        deadline = time.monotonic() + STOP_TIMEOUT
        for name in _MODULES:
            child = self._children[name]
            child.terminate()
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._socket.close()
        self._lock.close()


def _tell(sentence: str) -> None:
    """On standard error, which may lie on the full disk that this is about: the server must live on untold."""
    with suppress(OSError):
        print(sentence, file=sys.stderr, flush=True)


def _lock(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise DataInUse(f"a server (pid {file.read().strip()}) already works on {path.parent.parent}") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    line = socket.socket(family, socket.SOCK_STREAM)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    line.bind((host, port))
    line.listen(BACKLOG)
    return line


def _die_with(parent: int) -> None:
    """Between fork and exec: a supervisor that is killed takes its children along; their jobs live on."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before the line above
        os.kill(os.getpid(), signal.SIGKILL)
