"""Structured logging of the platform's own processes: one line per event on standard error. Users' logs are telemetry.

Two forms: text for people, JSON for collectors (`kenja serve --log-format json`). Both carry the id of the request in whose
course a line was written, the same that its caller got as `x-amzn-RequestId`.
"""

from __future__ import annotations

import contextvars
import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

FORMATS = ("text", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LEVEL_VARIABLE, FORMAT_VARIABLE = "KENJA_LOG_LEVEL", "KENJA_LOG_FORMAT"
_TEXT = "%(asctime)s %(levelname)s %(name)s %(request)s%(message)s"

request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="")
"""Id of the request that this thread or task works on; empty outside of one."""


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(_TEXT)

    def format(self, record: logging.LogRecord) -> str:
        identifier = request.get()
        record.request = f"request={identifier} " if identifier else ""
        return super().format(record)


class _Json(logging.Formatter):
    """Members: time (ISO 8601, UTC), level, logger, message; request, exception and what `extra={"facts": …}` gave, if any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if identifier := request.get():
            line["request"] = identifier
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: str = "WARNING", form: str = "text", stream: TextIO = sys.stderr) -> None:
    """Send every record of `kenja.*` at `level` and above to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger("kenja")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def configure_from(environment: Mapping[str, str] = os.environ) -> None:
    """What `kenja serve` hands to its processes."""
    configure(environment.get(LEVEL_VARIABLE, "WARNING").upper(), environment.get(FORMAT_VARIABLE, "text"))


def logger(name: str) -> logging.Logger:
    """The logger of one module; `name` is the module's `__name__`."""
    return logging.getLogger(name)
