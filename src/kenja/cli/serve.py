"""`kenja serve`: run the server. Everything else about it is in `kenja.server.supervisor`."""

from __future__ import annotations

import argparse
import os
import sys

from kenja.cli.main import add_data
from kenja.core import config, log
from kenja.server.supervisor import DataInUse, DataUnusable, Supervisor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen, where to keep things."""
    add_data(parser)
    parser.add_argument("--host", help=f"address to listen on (default: {config.DEFAULT_HOST})")
    parser.add_argument("--port", type=int, help=f"port; 0 picks a free one (default: {config.DEFAULT_PORT})")
    parser.add_argument("--database-url", metavar="URL", help="PostgreSQL instead of SQLite: postgresql+psycopg://…")
    parser.add_argument(
        "--allow-reset",
        action="store_true",
        help="let tests in: POST /_kenja/reset empties accounts, others make them and step jobs",
    )
    parser.add_argument("--log-level", choices=log.LEVELS, help="least level of what is logged (default: WARNING)")
    parser.add_argument("--log-format", choices=log.FORMATS, help="form of the log on standard error (default: text)")
    parser.add_argument(
        "--rung",
        choices=("auto", "warm", "namespaces", "bubblewrap", "unshare", "none"),
        help="the highest rung of the sandbox ladder for jobs",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    settings = config.from_environment(
        data=options.data,
        host=options.host,
        port=options.port,
        database_url=options.database_url,
        allow_reset=options.allow_reset,
        rung=options.rung,
    )
    for name, value in ((log.LEVEL_VARIABLE, options.log_level), (log.FORMAT_VARIABLE, options.log_format)):
        if value:
            os.environ[name] = value  # inherited by the server's processes
    try:
        supervisor = Supervisor(settings)
    except DataInUse as error:
        print(f"kenja serve: {error}; stop it first or choose another folder with --data.", file=sys.stderr)
        return 1
    except DataUnusable as error:
        print(f"kenja serve: {error}; make it writable or choose another folder with --data.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"kenja serve: can not listen on {settings.host}:{settings.port}: {error.strerror}.", file=sys.stderr)
        return 1
    return supervisor.run(lambda address: print(f"Kenja is ready at {address}", flush=True))
