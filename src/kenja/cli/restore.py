"""`kenja restore`: a data folder from a backup. It never writes over what is there."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from kenja.cli.main import add_data
from kenja.core import config
from kenja.kernel import backup


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where from and where to."""
    add_data(parser)
    parser.add_argument("source", type=Path, help="what `kenja backup` has made")


def run(options: argparse.Namespace) -> int:
    """Restore and say what was restored."""
    settings = config.from_environment(data=options.data)
    try:
        made = backup.restore(options.source.absolute(), settings)
    except (backup.BackupError, OSError) as error:
        print(f"kenja restore: {error}", file=sys.stderr)
        return 1
    when = datetime.fromtimestamp(made.made, UTC).isoformat(timespec="seconds")
    print(f"{settings.data}: {made.blobs} objects, as they were at {when} (Kenja {made.version})")
    return 0
