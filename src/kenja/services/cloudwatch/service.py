"""The service object that CloudWatch's files register with, and what its operations on metrics share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.declare import Service
from kenja.kernel.telemetry.metrics import DAY, Dimensions, dimensions

service = Service(str(Path(__file__)))

SHORT_PERIODS = (1, 5, 10, 20, 30)  # seconds; besides them a period is a multiple of 60
_GRAINS = ((63 * DAY, 3600), (15 * DAY, 300))  # (age of the start, what it is rounded down to), both in seconds


def series_dimensions(context: Context, given: Sequence[dict[str, str]]) -> Dimensions:
    """The dimensions of a request in the order in which a metric is known; refuses what AWS refuses in them."""
    pairs = dimensions((pair["Name"], pair["Value"]) for pair in given)
    if len({name for name, _ in pairs}) < len(pairs):
        names = ", ".join(name for name, _ in pairs)
        raise context.error("value", f"A dimension's name may occur once per metric; these were given: {names}.")
    for name, value in pairs:
        checked_text(context, "Dimensions.Name", name)
        checked_text(context, "Dimensions.Value", value)
        if name.startswith(":"):
            raise context.error(
                "value", f"The value {name} for parameter Dimensions.Name is invalid: it starts with a colon."
            )
    return pairs


def checked_text(context: Context, member: str, text: str) -> str:
    """A name or value of a metric: printable ASCII with something in it."""
    if not text.isascii() or not text.isprintable() or not text.strip():
        rule = "it must be printable ASCII with at least one character that is no space."
        raise context.error("value", f"The value {text!r} for parameter {member} is invalid: {rule}")
    return text


def is_period(period: int) -> bool:
    """Whether AWS has this period, in seconds."""
    return period in SHORT_PERIODS or (period > 0 and period % 60 == 0)


def bounds(now: float, request: dict[str, Any], period: int) -> tuple[int, int]:
    """StartTime and EndTime in seconds, rounded as AWS documents it; the end is exclusive."""
    start, end = int(request["StartTime"].timestamp()), request["EndTime"].timestamp()
    if period < 60:
        return start - start % period, int(end) - int(end) % period
    grain = next((grain for age, grain in _GRAINS if now - start > age), 60)
    return start - start % grain, -int(-end // 1)
