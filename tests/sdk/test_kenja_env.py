"""`kenja env`: what it prints really points clients at the server, and it writes nothing into the user's home."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from tests.conftest import RunningServer
from tests.sdk.shell import Shell, open_shell

pytestmark = pytest.mark.sdk


def in_bash(shell: Shell, commands: str) -> str:
    """What a bash prints that evaluates `kenja env` first and knows nothing else."""
    script = f'set -euo pipefail\neval "$({shlex.join(shell.env_command())})"\n{commands}\n'
    done = shell.run_in(shell.bare(), "bash", "-c", script)
    assert done.status == 0, done.errors
    return done.text


def test_eval_points_the_aws_cli_at_the_server(shell: Shell) -> None:
    shell.client("s3").create_bucket(Bucket="made-by-boto3")
    said = in_bash(shell, "aws sts get-caller-identity --query Account --output text\naws s3 ls | cut -d' ' -f3")
    assert said.split() == [shell.keys.account, "made-by-boto3"]


def test_eval_points_boto3_at_the_server(shell: Shell) -> None:
    program = (
        "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'], boto3.session.Session().region_name)"
    )
    arn, region = in_bash(shell, f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}").split()
    assert arn.startswith(f"arn:aws:sts::{shell.keys.account}:assumed-role/KenjaExecutionRole/")
    assert region == "us-east-1"


def test_every_line_is_an_export_and_another_region_is_taken(shell: Shell) -> None:
    done = shell.run_in(shell.bare(), *shell.env_command("--region", "eu-west-1"))
    lines = [shlex.split(line) for line in done.text.splitlines()]
    assert all(len(words) == 2 and words[0] == "export" for words in lines)
    assert {"AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1", f"AWS_ENDPOINT_URL={shell.server.endpoint}"} <= {
        words[1] for words in lines
    }


def test_the_users_home_stays_empty(server: RunningServer, tmp_path: Path) -> None:
    opened = open_shell(server, tmp_path)  # runs `kenja env` with an empty home folder
    assert opened.aws("sts", "get-caller-identity").json["Account"] == opened.keys.account
    assert list(opened.home.rglob("*")) == []


def test_the_users_own_settings_are_neither_read_nor_changed(server: RunningServer, tmp_path: Path) -> None:
    opened = open_shell(server, tmp_path)
    config = opened.home / ".aws" / "config"
    config.parent.mkdir()
    config.write_text("[default]\nregion = eu-north-1\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other\n")
    before = config.read_bytes()
    assert opened.aws("sts", "get-caller-identity").json["Account"] == opened.keys.account
    assert in_bash(opened, "aws configure get region; echo $AWS_REGION").split()[-1] == "us-east-1"
    assert config.read_bytes() == before
    assert [path.name for path in opened.home.rglob("*")] == [".aws", "config"]


def test_an_unknown_account_is_refused_and_nothing_is_exported(shell: Shell) -> None:
    done = shell.run_in(shell.bare(), *shell.env_command("--account", "123456789012"))
    assert done.status == 1
    assert done.text == ""
    assert "123456789012" in done.errors


def test_the_sdks_telemetry_is_off(shell: Shell) -> None:
    config = Path(shell.variables["SAGEMAKER_USER_CONFIG_OVERRIDE"])
    assert "TelemetryOptOut: true" in config.read_text()
    assert config.is_relative_to(shell.server.data)


@pytest.mark.parametrize("host", ["203.0.113.9", "sts.us-east-1.amazonaws.com"])
def test_the_guard_of_these_tests_sees_what_leaves_the_machine(
    server: RunningServer, tmp_path: Path, host: str
) -> None:
    opened = open_shell(server, tmp_path)
    program = f"import socket\ntry: socket.create_connection(({host!r}, 443), 3)\nexcept Exception: print('swallowed')"
    assert opened.run(sys.executable, "-c", program).text == "swallowed\n"
    assert any(host in line for line in opened.left_the_machine())


def test_the_guard_sees_the_aws_cli_leave_when_it_is_not_pointed_here(server: RunningServer, tmp_path: Path) -> None:
    opened = open_shell(server, tmp_path)
    status, _ = opened.refused(
        "sts", "get-caller-identity", AWS_ENDPOINT_URL="https://203.0.113.9", AWS_MAX_ATTEMPTS="1"
    )
    assert status != 0
    assert any("203.0.113.9" in line for line in opened.left_the_machine())
