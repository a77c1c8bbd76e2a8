"""A metric that a built-in algorithm prints: its fixed AWS name, the regular expression that reads it, its direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["Maximize", "Minimize"]


@dataclass(frozen=True)
class Metric:
    """`regex` holds one group: the value, as in MetricDefinitions of CreateTrainingJob."""

    name: str
    regex: str
    direction: Direction
