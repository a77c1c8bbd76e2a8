"""Builds runtimes below the runtimes root with uv. Set-up runs it (`python -m kenja.runtimes.build`); a job never does."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kenja.runtimes.places import WORLD_READABLE, draft_of
from kenja.runtimes.registry import BUILT, Runtime, all_runtimes, runtime
from kenja.runtimes.uv import BuildFailed, run_uv


def build(wanted: Runtime, root: Path) -> Path:
    """The runtime's environment, built if it is not there. Safe beside other builders and after one that died. Raises BuildFailed."""
    place = wanted.location(root)
    with draft_of(place, BUILT) as draft:
        if draft is not None:
            root.chmod(WORLD_READABLE)
            _fill(wanted, draft)
    return place


def _fill(wanted: Runtime, draft: Path) -> None:
    """Install the recipe. A job sees the result read-only, so what is not compiled now would be compiled again by every job."""
    make_environment(draft, Path(sys.executable))
    python = str(draft / "bin" / "python")
    run_uv("pip", "install", "--compile-bytecode", "--no-deps", "--python", python, "-r", str(wanted.requirements))
    recipe = {"runtime": wanted.name, "requirements": wanted.requirements.read_text().split()}
    (draft / BUILT).write_text(json.dumps(recipe, indent=1) + "\n")


def make_environment(place: Path, python: Path) -> None:
    """An empty virtual environment of that interpreter, in an existing empty folder, that may be renamed afterwards."""
    run_uv("venv", "--allow-existing", "--relocatable", "--no-project", "--python", str(python), str(place))


def build_all(names: list[str], root: Path, say: Callable[[str], None]) -> None:
    """Build the named runtimes (all of them if none is named) and say what is done and how long it took."""
    for wanted in [runtime(name) for name in names] or all_runtimes().values():
        if wanted.is_built(root):
            continue
        say(f"building the runtime {wanted.name}: {wanted.description} …")
        started = time.monotonic()
        place = build(wanted, root)
        say(f"built {place} in {time.monotonic() - started:.1f} s")


def main() -> int:
    """The command line of set-up."""
    parser = argparse.ArgumentParser(description="Build the runtimes that jobs run in.")
    parser.add_argument("names", nargs="*", help=f"which ones; default all: {', '.join(all_runtimes())}")
    parser.add_argument("--root", type=Path, required=True, help="the folder that holds the runtimes")
    arguments = parser.parse_args()
    try:
        build_all(arguments.names, arguments.root.absolute(), lambda text: print(text, flush=True))
    except (BuildFailed, KeyError) as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
