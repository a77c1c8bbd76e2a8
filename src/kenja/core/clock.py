"""Three times: wall (signatures, TLS), virtual (schedules, TTLs), monotonic (time-outs). Nothing else asks the system.

The virtual clock runs at `rate` virtual seconds per wall second from an offset; both are 1 and 0 unless a person
steps it, so every process that reads the same settings sees the same virtual time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


def utc(seconds: float) -> datetime:
    """Seconds since the epoch as an aware UTC datetime."""
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True)
class Clock:
    """The clocks of one process. Thread safe: it has no state of its own."""

    offset: float = 0.0  # seconds that virtual time is ahead of wall time at `since`
    rate: float = 1.0  # virtual seconds per wall second
    since: float = 0.0  # wall time at which offset and rate began to hold

    def wall(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()

    def virtual(self) -> float:
        """Virtual seconds since the epoch, UTC."""
        now = time.time()
        if self.rate == 1.0:
            return now + self.offset
        return self.since + self.offset + (now - self.since) * self.rate

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait that many monotonic seconds; for loops of the platform that have nothing to be woken by."""
        time.sleep(seconds)
