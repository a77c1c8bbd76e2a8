"""`kenja backup`: a copy of the data folder, whether its server runs or not. What is copied how is the kernel's matter."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kenja import __version__
from kenja.cli.main import add_data
from kenja.core import config
from kenja.kernel import backup


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where from and where to."""
    add_data(parser)
    parser.add_argument("--database-url", metavar="URL", help="as given to `kenja serve`")
    parser.add_argument("target", type=Path, help="a new folder, or a new file that ends with .tar, .tar.gz or .tgz")


def run(options: argparse.Namespace) -> int:
    """Copy and say what was copied."""
    settings = config.from_environment(data=options.data, database_url=options.database_url)
    try:
        made = backup.back_up(settings, options.target.absolute(), __version__)
    except (backup.BackupError, OSError) as error:
        print(f"kenja backup: {error}", file=sys.stderr)
        return 1
    print(f"{options.target}: {made.blobs} objects with {made.bytes} bytes, all resources, logs and metrics")
    return 0
