"""A faster form of a model, made and proved in a child process while the model serves as it is. No model and no socket here."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from typing import NoReturn

PATIENCE = 300  # seconds for the child
_NICENESS = 10  # requests come first
_REFUSED = 3  # the child's exit code when the file holds a reason


class Unconverted(Exception):  # noqa: N818 - what is the matter
    """The model stays as it is; the message says why."""


class Upgrade:
    """One attempt. Readable, as a selector sees it, when it is over; then `finish` once, in the thread that predicts."""

    def __init__(self, make: Callable[[], bytes], apply: Callable[[bytes], str]) -> None:
        """`make` runs in the child and raises Unconverted; `apply` takes its result here and says what is better now.

        The process must not use the model in other threads while this forks.
        """
        self._apply = apply
        self._began = time.monotonic()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed by finish
        self._over, over = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            self._work(make)
        os.close(over)

    def fileno(self) -> int:
        return self._over

    def finish(self) -> str:
        """A line for the log."""
        os.close(self._over)
        _, status = os.waitpid(self._child, 0)
        code = os.waitstatus_to_exitcode(status)
        with self._file:
            self._file.seek(0)
            data = self._file.read()
        try:
            if code == _REFUSED:
                raise Unconverted(data.decode())
            if code:
                raise Unconverted(f"the conversion ended with code {code}")
            return f"{self._apply(data)} after {time.monotonic() - self._began:.2f} s"
        except Unconverted as reason:
            return f"the model is served by its own library only: {reason}"

    def _work(self, make: Callable[[], bytes]) -> NoReturn:
        code = 1
        try:
            signal.alarm(PATIENCE)
            os.nice(_NICENESS)
            try:
                data = make()
                code = 0
            except Unconverted as reason:
                data, code = str(reason).encode(), _REFUSED
            except Exception as error:  # whatever a model does to a converter, the model serves on
                data, code = f"{type(error).__name__}: {error}"[:500].encode(), _REFUSED
            self._file.write(data)
            self._file.flush()
        finally:
            os._exit(code)
