"""`kenja operations`: the parity table, with the place in the code of each operation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kenja.kernel.declare import Service
from kenja.kernel.services import Services

_LEVELS = {0: "refused", 1: "recorded", 2: "acts", 3: "faithful"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which service; all of them without a name."""
    parser.add_argument("service", nargs="?", help="as boto3 names it, e.g. sagemaker-runtime")
    parser.add_argument("--all", action="store_true", help="also the operations of level 0, which are refused")


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    services = Services()
    if options.service is None:
        chosen = list(services)
    else:
        found = services.get(options.service)
        if found is None:
            known = ", ".join(sorted(services.manifests))
            print(f"kenja operations: no service {options.service!r}; there are: {known}.", file=sys.stderr)
            return 1
        chosen = [found]
    for service in chosen:
        _print(service, everything=options.all)
    return 0


def _print(service: Service, *, everything: bool) -> None:
    names = service.model.operation_names
    print(f"{service.name}: {len(service.operations)} of {len(names)} operations are served")
    for name in names:
        entry = service.operations.get(name)
        if entry is not None:
            print(f"  {name:44} {entry.level} {_LEVELS[entry.level]:9} {_place(entry.file)}:{entry.line}")
        elif everything:
            print(f"  {name:44} 0 {_LEVELS[0]}")


def _place(file: str) -> str:
    """A path from the package's root on."""
    parts = Path(file).parts
    return str(Path(*parts[parts.index("kenja") :])) if "kenja" in parts else file
