"""`kenja env`: the lines that point AWS clients of this shell at the server. It never touches ~/.aws."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from kenja.cli.main import add_data
from kenja.core import config
from kenja.core.config import Config
from kenja.kernel.kernel import Kernel

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SDK_CONFIG = """\
SchemaVersion: "1.0"
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which server, which region."""
    add_data(parser)
    parser.add_argument("--host", help=f"the server's address (default: {config.DEFAULT_HOST})")
    parser.add_argument("--port", type=int, help=f"the server's port (default: {config.DEFAULT_PORT})")
    parser.add_argument("--region", default=config.DEFAULT_REGION, help="region (default: %(default)s)")
    parser.add_argument("--account", default=config.DEFAULT_ACCOUNT, help="account (default: %(default)s)")
    parser.add_argument("--database-url", metavar="URL", help="as given to `kenja serve`")


def run(options: argparse.Namespace) -> int:
    """Print the export lines."""
    settings = config.from_environment(
        data=options.data, host=options.host, port=options.port, database_url=options.database_url
    )
    try:
        found = variables(settings, options.region, options.account)
    except ValueError as error:
        print(f"kenja env: {error}", file=sys.stderr)
        return 1
    for name, value in found.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def variables(settings: Config, region: str, account: str) -> dict[str, str]:
    """The environment of a client: endpoint, region, keys of KenjaExecutionRole, the SDK's telemetry off. Raises ValueError."""
    kernel = Kernel(settings)
    try:
        return {"AWS_ENDPOINT_URL": settings.endpoint, **client(kernel, region, account)}
    finally:
        kernel.close()


def client(kernel: Kernel, region: str, account: str) -> dict[str, str]:
    """Who a client is and where it acts, whatever way it takes to the server. Raises ValueError for no account."""
    keys = kernel.identity.execution_role_session(account)
    return {
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        **dict(zip(KEYS, (keys.access_key_id, keys.secret_access_key, keys.session_token), strict=True)),
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(_sdk_config(kernel.config.data)),
    }


def _sdk_config(data: Path) -> Path:
    path = data / "sagemaker-sdk" / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_SDK_CONFIG)
    return path
