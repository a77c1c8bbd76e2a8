"""The pytest plugin: fixtures `kenja` (a fresh account) and `kenja_server` (the server of the run). Loaded by pytest itself.

Options: `--kenja-endpoint URL` uses a server that runs already (started with --allow-reset) instead of starting one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kenja.testing import TestAccount, TestServer

_SDK_CONFIG = """\
SchemaVersion: "1.0"
SageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}
"""
_FOREIGN = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kenja", "Kenja, AWS's machine-learning stack on this machine")
    group.addoption("--kenja-endpoint", metavar="URL", help="use this server (started with --allow-reset), start none")


@pytest.fixture(scope="session")
def kenja_server(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """The server of this run of the tests; it takes about a second to start."""
    from kenja.testing import TestServer

    if endpoint := request.config.getoption("--kenja-endpoint"):
        yield TestServer(endpoint)
        return
    with tempfile.TemporaryDirectory(prefix="kenja-", ignore_cleanup_errors=True) as folder:
        server = TestServer.start(Path(folder) / "data")
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def kenja(kenja_server: TestServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TestAccount]:
    """A fresh account. Unmodified AWS code of the test meets it: the environment points there, ~/.aws is not read."""
    account = kenja_server.new_account()
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    for name in _FOREIGN:
        monkeypatch.delenv(name, raising=False)
    nothing = tmp_path / ".kenja-aws"
    nothing.write_text("")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nothing))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nothing))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    sdk = tmp_path / ".kenja-sagemaker.yaml"
    sdk.write_text(_SDK_CONFIG)
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(sdk))
    if boto3 := sys.modules.get("boto3"):
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # one of another test's account, perhaps
    yield account
    account.release_jobs()
