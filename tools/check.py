"""`make check`: every static check at once, each with its time; prints the output of those that fail. Runs no test."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKS = {  # the slowest first: two run at a time
    "mypy": [f"{BIN}/mypy"],
    "lint-imports": [f"{BIN}/lint-imports", "--no-logo"],
    "check_services": [sys.executable, "tools/check_services.py"],
    "ruff check": [f"{BIN}/ruff", "check", "--output-format", "concise", "."],
    "ruff format": [f"{BIN}/ruff", "format", "--check", "--output-format", "concise", "."],
}


@dataclass(frozen=True)
class Outcome:
    name: str
    passed: bool
    seconds: float
    output: str


def run(name: str) -> Outcome:
    """Run one check to its end."""
    started = time.monotonic()
    done = subprocess.run(
        CHECKS[name], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return Outcome(name, done.returncode == 0, time.monotonic() - started, done.stdout)


def main() -> int:
    started = time.monotonic()
    failed = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for outcome in pool.map(run, CHECKS):
            print(f"{'ok    ' if outcome.passed else 'FAILED'} {outcome.name:<16} {outcome.seconds:6.1f} s", flush=True)
            if not outcome.passed:
                failed.append(outcome.name)
                print(outcome.output, flush=True)
    print(
        f"make check: {time.monotonic() - started:.1f} s; {'failed: ' + ', '.join(failed) if failed else 'all passed'}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
