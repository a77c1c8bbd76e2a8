"""Warm parents of jobs, one per interpreter and list of preloaded modules: started on demand, asked over a socket. Runs no jobs."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kenja.core import unixsocket
from kenja.core.clock import Clock
from kenja.core.log import logger

IDLE = 900.0  # seconds without a job after which a zygote retires; one with xgboost and pandas holds 150 MB
START = 60.0  # seconds for the imports, on a loaded machine
RETRY = 60.0  # seconds during which a zygote that could not start is not tried again
ANSWER = 10.0  # seconds for a fork
POLL = 0.01  # seconds between two looks for a new zygote's socket

_log = logger(__name__)


class ZygoteError(Exception):
    """No warm start is to be had; the message says why. A cold start is."""


@dataclass
class _Zygote:
    name: str  # of its socket and its log
    python: str
    preload: tuple[str, ...]
    lock: threading.Lock = field(default_factory=threading.Lock)
    process: subprocess.Popen[bytes] | None = None
    failed: float | None = None  # monotonic time


class Zygotes:
    """Thread safe; one caller at a time for each zygote."""

    def __init__(self, folder: Path, library: Path, clock: Clock) -> None:
        self._folder = folder
        self._library = library
        self._clock = clock
        self._known: dict[str, _Zygote] = {}
        self._lock = threading.Lock()

    def fork(self, job: Path, python: str, preload: tuple[str, ...]) -> str:
        """Start the shim of `job` from a warm parent; returns what belongs into the pid file."""
        zygote = self._zygote(python, preload)
        with zygote.lock:
            try:
                answer = self._ask(zygote, job)
            except (ConnectionError, FileNotFoundError):  # never started, retired, or killed
                self._start(zygote)
                answer = self._ask(zygote, job)
        if "identity" not in answer:
            raise ZygoteError(f"The zygote refused: {answer.get('error')}")
        return str(answer["identity"])

    def reap(self) -> None:
        """Take note of zygotes that ended."""
        with self._lock:
            for zygote in self._known.values():
                if zygote.process is not None:
                    zygote.process.poll()

    def close(self) -> None:
        """Retire all of them; the jobs that they started go on."""
        with self._lock:
            for zygote in self._known.values():
                if zygote.process is not None:
                    zygote.process.terminate()
                    zygote.process.communicate()
                    zygote.process = None

    def _zygote(self, python: str, preload: tuple[str, ...]) -> _Zygote:
        key = json.dumps([python, preload, os.path.realpath(self._library / "kenja_worker")])
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        with self._lock:
            return self._known.setdefault(name, _Zygote(name, python, preload))

    def _start(self, zygote: _Zygote) -> None:
        now = self._clock.monotonic()
        if zygote.failed is not None and now - zygote.failed < RETRY:
            raise ZygoteError(f"It failed {now - zygote.failed:.0f} s ago; see {self._folder / zygote.name}.log")
        if zygote.process is not None:
            zygote.process.kill()  # if it lives at all, it does not listen any more
            zygote.process.communicate()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [zygote.python, "-m", "kenja_worker.shim.zygote", f"{zygote.name}.sock", ",".join(zygote.preload)]
        with (self._folder / f"{zygote.name}.log").open("wb") as output:
            zygote.process = subprocess.Popen(
                [*command, "--idle", str(IDLE), "--with-parent"],
                cwd=self._folder,
                env=clean_environment(self._library),
                stdin=subprocess.PIPE,  # never written to: its end tells the zygote that this process is gone
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        while self._clock.monotonic() - now < START and zygote.process.poll() is None:
            try:
                self._connect(zygote).close()
                zygote.failed = None
                return
            except (ConnectionError, FileNotFoundError):
                threading.Event().wait(POLL)
        zygote.failed = self._clock.monotonic()
        code = zygote.process.poll()
        if code is None:
            zygote.process.kill()
        problem = f"is not ready after {START:.0f} s" if code is None else f"ended with {code}"
        raise ZygoteError(f"The zygote of {zygote.python} {problem}; see {self._folder / zygote.name}.log")

    def _ask(self, zygote: _Zygote, job: Path) -> dict[str, Any]:
        """ConnectionError if nobody answers. An answer that got lost is one, too: the shim's lock makes a second start harmless."""
        with self._connect(zygote) as line:
            line.settimeout(ANSWER)
            line.sendall(json.dumps({"job": str(job)}).encode() + b"\n")
            answer = line.makefile("rb").readline()
        if not answer:
            raise ConnectionResetError("the zygote ended before it answered")
        document: dict[str, Any] = json.loads(answer)
        return document

    def _connect(self, zygote: _Zygote) -> socket.socket:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with unixsocket.address(self._folder / f"{zygote.name}.sock") as place:
                line.connect(place)
        except BaseException:
            line.close()
            raise
        return line


def clean_environment(library: Path) -> dict[str, str]:
    """What a shim or zygote gets of ours: no key, no address of a database may reach a job through its parent."""
    kept = {name: os.environ[name] for name in ("PATH", "TZ", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"LANG": "C.UTF-8", "PYTHONPATH": str(library), "PYTHONUNBUFFERED": "1"}
