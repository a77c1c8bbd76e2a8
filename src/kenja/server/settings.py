"""A server's settings on their way from the supervisor to its processes: one environment variable with JSON."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from kenja.core.config import Config

VARIABLE = "KENJA_SETTINGS"


def sent(config: Config) -> dict[str, str]:
    """The environment that carries `config`."""
    return {VARIABLE: json.dumps(asdict(config), default=os.fspath)}


def received() -> Config:
    """The settings that this process was started with."""
    values = json.loads(os.environ[VARIABLE])
    return Config(**{**values, "data": Path(values["data"]), "runtimes": Path(values["runtimes"])})
