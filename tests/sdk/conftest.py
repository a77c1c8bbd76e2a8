"""Fixtures of the tests with AWS's own clients: a shell of a fresh account, the interpreter of the SDK's environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sdk_env

from tests.conftest import RunningServer
from tests.sdk.shell import Shell, open_shell


@pytest.fixture(scope="module")
def shell(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell of an account of its own; none of its commands may try to leave the machine."""
    opened = open_shell(server, tmp_path_factory.mktemp("shell"))
    yield opened
    assert opened.left_the_machine() == []


@pytest.fixture(scope="session")
def sdk_python(pytestconfig: pytest.Config) -> Path:
    """The interpreter with sagemaker 2; it is built when it is not there, and the time is shown."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        return sdk_env.environment("sdk-v2")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("environments of client SDKs")
    for name, seconds in sdk_env.build_times().items():
        terminalreporter.write_line(f"{seconds:8.1f} s  to build {name}")
