"""`kenja runtimes`: build and list the environments that jobs run in. No server is needed."""

from __future__ import annotations

import argparse
import sys

from kenja.cli.main import add_data
from kenja.core import config
from kenja.runtimes.build import build_all
from kenja.runtimes.registry import all_runtimes
from kenja.runtimes.uv import BuildFailed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list`, or `build [NAME …]`."""
    add_data(parser)
    parser.add_argument("action", choices=("list", "build"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"to build; default all: {', '.join(all_runtimes())}")


def run(options: argparse.Namespace) -> int:
    """Do it and print the result."""
    root = config.from_environment(data=options.data).runtimes
    unknown = sorted(set(options.names) - set(all_runtimes()))
    if unknown:
        print(f"kenja runtimes: no runtime {unknown[0]!r}; there are: {', '.join(all_runtimes())}.", file=sys.stderr)
        return 1
    if options.action == "build":
        try:
            build_all(options.names, root, lambda text: print(text, flush=True))
        except BuildFailed as error:
            print(f"kenja runtimes: {error}", file=sys.stderr)
            return 1
    for runtime in all_runtimes().values():
        state = "built" if runtime.is_built(root) else "not built"
        print(f"{runtime.name:<12} {state:<10} {runtime.description}  {runtime.location(root)}")
    return 0
