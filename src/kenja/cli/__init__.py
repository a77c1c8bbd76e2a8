"""The `kenja` command: one module per sub-command, imported when it is used. No AWS behaviour lives here."""

from __future__ import annotations

from kenja.cli.main import main

__all__ = ["main"]
