"""When what failed may be tried again: each time later, by monotonic time, known to one process. It tries nothing itself."""

from __future__ import annotations

FIRST, LONGEST = 0.25, 30.0  # seconds; doubling


class Backoff:
    """Keys and the times from which they may be tried again. For one loop and its threads."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}

    def failed(self, key: str, now: float) -> None:
        """Put a key off, longer with every failure since it was forgotten."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self._due[key] = now + min(FIRST * 2**failures, LONGEST)

    def is_due(self, key: str, now: float) -> bool:
        """True when a key may be tried."""
        return now >= self._due.get(key, now)

    def forget(self, key: str) -> None:
        """It worked, or nobody will try it again."""
        self._failures.pop(key, None)
        self._due.pop(key, None)
