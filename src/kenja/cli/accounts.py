"""`kenja accounts`: separate worlds on one server. Works on the data folder, whether a server runs or not."""

from __future__ import annotations

import argparse
import sys

from kenja.cli.main import add_data
from kenja.core import config
from kenja.kernel.identity.bearer import LIFE, LONGEST
from kenja.kernel.kernel import Kernel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`create [ACCOUNT]`, `list`, and `token [ACCOUNT]`."""
    add_data(parser)
    parser.add_argument("--database-url", metavar="URL", help="as given to `kenja serve`")
    parser.add_argument("action", choices=("create", "list", "token"))
    parser.add_argument("account", nargs="?", help="twelve digits; a new one's number is chosen without them")
    parser.add_argument("--hours", type=float, default=LIFE / 3600, help="life of a token (default: %(default)s)")
    parser.add_argument("--region", default=config.DEFAULT_REGION, help="region of a token (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Do it and print the result."""
    kernel = Kernel(config.from_environment(data=options.data, database_url=options.database_url))
    try:
        if options.action == "list":
            print("\n".join(kernel.identity.accounts()))
            return 0
        if options.action == "token":
            print(_token(kernel, options))
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


def _token(kernel: Kernel, options: argparse.Namespace) -> str:
    """A bearer token, which AWS calls an API key: for AWS_BEARER_TOKEN_BEDROCK and the like. Raises ValueError."""
    seconds = options.hours * 3600
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"a token may live up to {LONGEST // 3600} hours, not {options.hours}")
    return kernel.identity.bearer_token(options.account or config.DEFAULT_ACCOUNT, options.region, seconds)
