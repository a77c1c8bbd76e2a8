"""`kenja accounts`: separate worlds on one server. Works on the data folder, whether a server runs or not."""

from __future__ import annotations

import argparse
import sys

from kenja.cli.main import add_data
from kenja.core import config
from kenja.kernel.kernel import Kernel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`create [ACCOUNT]` and `list`."""
    add_data(parser)
    parser.add_argument("--database-url", metavar="URL", help="as given to `kenja serve`")
    parser.add_argument("action", choices=("create", "list"))
    parser.add_argument("account", nargs="?", help="twelve digits; a free number is chosen without them")


def run(options: argparse.Namespace) -> int:
    """Do it and print the result."""
    kernel = Kernel(config.from_environment(data=options.data, database_url=options.database_url))
    try:
        if options.action == "list":
            print("\n".join(kernel.identity.accounts()))
            return 0
        keys = kernel.identity.create_account(options.account)
    except ValueError as error:
        print(f"kenja accounts: {error}", file=sys.stderr)
        return 1
    finally:
        kernel.close()
    print(
        f"account {keys.account}\nAWS_ACCESS_KEY_ID={keys.access_key_id}\nAWS_SECRET_ACCESS_KEY={keys.secret_access_key}"
    )
    return 0
