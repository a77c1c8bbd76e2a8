"""Structured logging of the platform's own processes: one line per event on standard error. Users' logs are telemetry."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def configure(level: str = "WARNING", stream: TextIO = sys.stderr) -> None:
    """Send every record of `kenja.*` at `level` and above to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger("kenja")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def logger(name: str) -> logging.Logger:
    """The logger of one module; `name` is the module's `__name__`."""
    return logging.getLogger(name)
