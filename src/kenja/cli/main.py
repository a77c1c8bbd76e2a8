"""Arguments of the `kenja` command and the way to each sub-command."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from kenja import __version__

_COMMANDS = {  # name -> (module with `add_arguments` and `run`, one line of help)
    "serve": ("kenja.cli.serve", "run the server until Ctrl-C"),
    "env": ("kenja.cli.env", "print export lines that point AWS clients at the server"),
    "run": ("kenja.cli.run", "run a command so that all its AWS traffic lands here"),
    "accounts": ("kenja.cli.accounts", "create and list accounts, issue bearer tokens"),
    "status": ("kenja.cli.status", "what the server of a data folder is doing now"),
    "operations": ("kenja.cli.operations", "which AWS operations are served, at which parity level, and where"),
    "doctor": ("kenja.cli.doctor", "what this machine can honour"),
    "backup": ("kenja.cli.backup", "copy the data folder, also while its server runs"),
    "restore": ("kenja.cli.restore", "make a data folder from a backup"),
    "runtimes": ("kenja.cli.runtimes", "build and list the environments that jobs run in"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; the exit status of the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="kenja", description="The AWS machine-learning stack on one's own machine.")
    parser.add_argument("--version", action="version", version=f"kenja {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = next((word for word in given if word in _COMMANDS), None)
    for name, (module, summary) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == chosen:  # only the chosen one is imported: `kenja serve` must start in about a second
            importlib.import_module(module).add_arguments(command)
    options = parser.parse_args(given)
    result = importlib.import_module(_COMMANDS[options.command][0]).run(options)
    assert isinstance(result, int)
    return result


def add_data(parser: argparse.ArgumentParser) -> None:
    """The option that every command about a server has."""
    parser.add_argument("--data", type=Path, metavar="DIR", help="the data folder (default: ~/.local/share/kenja)")
