"""A container's own entry point inside the sandbox: this process becomes it. What it may find there is the platform's work."""

from __future__ import annotations

import os
import sys

_NOT_RUNNABLE = 127  # what a shell exits with when there is no such command


def main(words: list[str]) -> int:
    """Returns only when the command can not be run."""
    try:
        os.execvp(words[0], words)
    except OSError as error:
        print(f"The entry point {words[0]!r} can not be run: {error.strerror}.", file=sys.stderr, flush=True)
    return _NOT_RUNNABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
