"""Environments with a client SDK of their own for tests marked `sdk`: .venvs/NAME-HASH, made once per set of pins."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import time
from pathlib import Path

from kenja.runtimes.build import make_environment
from kenja.runtimes.places import draft_of
from kenja.runtimes.uv import BuildFailed, run_uv

REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENTS = REPOSITORY / ".venvs"
BUILT = "built.json"
CLIENTS = ("sdk", "boto3")  # what the names of these environments' requirements begin with


def environment(name: str) -> Path:
    """The interpreter of the environment that requirements/NAME.txt pins; builds it if it is not there. Raises BuildFailed."""
    requirements = REPOSITORY / "requirements" / f"{name}.txt"
    pinned = requirements.read_text()
    key = hashlib.sha256(f"{pinned}\0{platform.python_version()}\0{sys.base_prefix}".encode()).hexdigest()[:12]
    place = ENVIRONMENTS / f"{name}-{key}"
    with draft_of(place, BUILT) as draft:
        if draft is not None:
            print(f"building {place} …", file=sys.stderr, flush=True)
            started = time.monotonic()
            make_environment(draft, Path(sys.executable))
            python = str(draft / "bin" / "python")
            run_uv("pip", "install", "--compile-bytecode", "--no-deps", "--python", python, "-r", str(requirements))
            seconds = round(time.monotonic() - started, 1)
            (draft / BUILT).write_text(json.dumps({"seconds": seconds, "pins": pinned.split()}, indent=1) + "\n")
            print(f"built {place} in {seconds} s", file=sys.stderr, flush=True)
    return place / "bin" / "python"


def build_times() -> dict[str, float]:
    """How many seconds each environment that is there took to build."""
    return {
        file.parent.name: float(json.loads(file.read_text())["seconds"])
        for file in sorted(ENVIRONMENTS.glob(f"*/{BUILT}"))
    }


def main() -> int:
    files = (path for kind in CLIENTS for path in (REPOSITORY / "requirements").glob(f"{kind}-*.in"))
    names = sorted(file.name.removesuffix(".in") for file in files)
    if len(sys.argv) != 2 or sys.argv[1] not in names:
        print(f"usage: sdk_env.py NAME; NAME is one of: {', '.join(names)}", file=sys.stderr)
        return 2
    try:
        print(environment(sys.argv[1]))
    except BuildFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
