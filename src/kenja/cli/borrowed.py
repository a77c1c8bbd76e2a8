"""A server for as long as a command needs one: the one that works on the data folder, or one that is started and stopped again.

Commands that share a started server hold a shared lock; the last of them to end stops it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess  # noqa: TID251 - the server itself
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kenja.core.config import Config
from kenja.server import presence
from kenja.server.presence import Presence

START = 90.0  # seconds that a server may take until it is ready; a slow machine's first start makes a database
STOP = 160.0  # seconds; the supervisor's own limit and then some
_LOOK = 0.02  # seconds between two looks


class NoServer(Exception):  # noqa: N818 - what the command does not get
    """A server could not be started; the message says why."""


@contextmanager
def server(config: Config) -> Iterator[Presence]:
    """A ready server on the data folder of `config`. Raises NoServer."""
    config.run.mkdir(parents=True, exist_ok=True)
    config.data.chmod(0o700)
    with (config.run / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # waits for one that is just stopping the server
        found = presence.running(config.data) or _started(config)
        try:
            yield found
        finally:
            _leave(config, users)


def _started(config: Config) -> Presence:
    log = config.run / "serve.log"
    options = ["--data", str(config.data), "--port", "0"]
    if config.database_url:
        options += ["--database-url", config.database_url]
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "kenja", "serve", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, cwd=config.data,
            start_new_session=True,  # a terminal's Ctrl-C is for the command
        )  # fmt: skip
    end = time.monotonic() + START
    while time.monotonic() < end:
        found = presence.running(config.data)
        if found is not None:
            if found.pid == process.pid:
                _mark(config).write_text(found.process)
            return found
        if process.poll() is not None and not _in_use(config):  # else another command's server is about to be ready
            raise NoServer(f"the server did not start: {log.read_text().strip()[-2000:] or process.returncode}")
        time.sleep(_LOOK)
    raise NoServer(f"the server was not ready within {START:.0f} s; {log} may tell why")


def _leave(config: Config, users: IO[str]) -> None:
    """Stop the server if a command has started it and this is the last one."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    found = presence.running(config.data)
    mark = _mark(config)
    if found is None or not mark.exists() or mark.read_text() != found.process:
        return
    os.kill(found.pid, signal.SIGTERM)
    end = time.monotonic() + STOP
    while found.alive() and time.monotonic() < end:
        time.sleep(_LOOK)
    mark.unlink(missing_ok=True)


def _mark(config: Config) -> Path:
    """Names the server that a command has started."""
    return config.run / "borrowed"


def _in_use(config: Config) -> bool:
    """Whether some server holds the data folder."""
    with (config.run / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
