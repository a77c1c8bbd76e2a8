"""The one way to uv, the installer behind runtimes and overlay environments. What is installed is decided by the callers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

INSTALL_TIMEOUT = 900  # seconds; a first download of a runtime on a slow line
TAIL = 12  # lines of uv's output that a person needs to see why it failed
UMASK = 0o022  # what is installed is readable by every user
HIDDEN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")


class BuildFailed(Exception):  # noqa: N818 - it names an outcome
    """An environment could not be built; the message ends with the installer's last lines."""


def find_uv() -> Path | None:
    """uv beside this interpreter, else on PATH, else None."""
    beside = Path(sys.prefix) / "bin" / "uv"
    if beside.is_file():
        return beside
    found = shutil.which("uv")
    return Path(found) if found else None


def run_uv(*arguments: str, timeout: float = INSTALL_TIMEOUT) -> None:
    """Run uv to its end. Raises BuildFailed with the last lines that it said."""
    uv = find_uv()
    if uv is None:
        raise BuildFailed("uv is not installed; install it with: pip install 'kenja[runtimes]'")
    environment = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    try:
        done = subprocess.run(
            [uv, "--no-progress", "--color", "never", *arguments],
            env=environment,
            cwd="/",  # so that no pyproject.toml or uv.toml of a working directory has a say
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            umask=UMASK,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise BuildFailed(f"uv {arguments[0]} did not end within {timeout:.0f} s") from late
    if done.returncode:
        raise BuildFailed(f"uv {' '.join(arguments[:2])} failed:\n{last_lines(done.stdout)}")


def last_lines(text: str) -> str:
    """The end of an installer's output, blank lines left out."""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-TAIL:])
