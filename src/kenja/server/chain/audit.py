"""Who called what and how it ended: one JSON line a call, appended in batches; two files, the older one replaced."""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

import orjson

INTERVAL = 0.5  # seconds between two appends
MAX_BYTES = 64 * 1024 * 1024  # of one file
MAX_WAITING = 100_000  # calls that wait for the next append; more are dropped and counted


class Audit:
    """Thread safe; `record` never waits for the disk."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._waiting: deque[tuple[object, ...]] = deque()
        self.dropped = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)  # noqa: TID251 - the server's own
        self._thread.start()

    def record(self, *call: object) -> None:
        """Note one call: (time, request id, principal ARN, service, operation, HTTP status, error code)."""
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self._waiting.append(call)

    def close(self) -> None:
        """Write what still waits."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._path.exists() and self._path.stat().st_size > MAX_BYTES:
            self._path.replace(self._path.with_suffix(".1.log"))
        with self._path.open("ab") as file:
            while self._waiting:
                file.write(orjson.dumps(self._waiting.popleft(), option=orjson.OPT_APPEND_NEWLINE))
