"""CPU time of a small function. Standard library only: benches of peers import it in environments of their own."""

from __future__ import annotations

import time
from collections.abc import Callable


def microseconds(function: Callable[[], object], seconds: float) -> float:
    """CPU microseconds of one call: the best of five equal parts of `seconds`, after a warm-up."""
    function()
    started = time.process_time()
    count = 0
    while time.process_time() - started < seconds / 20:
        function()
        count += 1
    count = max(1, count * 4)
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        for _ in range(count):
            function()
        best = min(best, (time.process_time() - started) / count)
    return best * 1e6
