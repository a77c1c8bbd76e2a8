"""`kenja run`: a command meets Kenja where it looks for AWS; its status, signals and streams are its own, and ~/.aws is not touched."""

from __future__ import annotations

import gzip
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.loaders import Loader

from kenja.cli import surroundings
from kenja.server import presence
from tests.conftest import RUNTIMES, RunningServer, wait_until
from tests.sdk.shell import Shell, open_shell

pytestmark = pytest.mark.sdk
PYTHON = sys.executable
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def python(shell: Shell, program: str, **changes: str) -> str:
    """What a Python program prints inside `kenja run`, with nothing but what it is given there."""
    done = shell.run_inside(PYTHON, "-c", program, **changes)
    assert done.status == 0, done.errors
    return done.text


def variables(shell: Shell, **changes: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(python(shell, SHOW, **changes))
    return found


# What lands here


def test_boto3_and_the_address_that_sdks_have_in_their_code(shell: Shell) -> None:
    program = (
        "import boto3\n"
        "here, there = boto3.client('sts'), boto3.client('sts', endpoint_url='https://sts.us-east-1.amazonaws.com')\n"
        "print(here.meta.endpoint_url)\n"
        "print(here.get_caller_identity()['Arn'], there.get_caller_identity()['Arn'])"
    )
    endpoint, one, other = python(shell, program).split()
    assert endpoint == shell.server.endpoint
    assert one == other == f"arn:aws:sts::{shell.keys.account}:assumed-role/KenjaExecutionRole/kenja"


def test_the_aws_cli_in_a_script_of_bash_and_its_children(shell: Shell) -> None:
    shell.client("s3").create_bucket(Bucket="made-for-a-run")
    script = 'aws s3 ls | cut -d" " -f3; bash -c "aws sts get-caller-identity --query Account --output text"'
    assert shell.run_inside("bash", "-c", script).text.split() == ["made-for-a-run", shell.keys.account]


def test_sqs_at_its_old_address_is_refused_here_and_not_asked_there(shell: Shell) -> None:
    done = shell.run_inside("aws", "sqs", "list-queues")
    if done.status:
        assert "(UnsupportedOperationException)" in done.errors
        assert "queue.amazonaws.com" in done.errors
    else:
        pytest.fail("aws sqs is served now: test that it lists a queue")


def test_host_prefixes_and_services_that_are_not_served_are_refused_here(shell: Shell) -> None:
    program = (
        "import boto3\n"
        "from botocore.exceptions import ClientError\n"
        "for call in (lambda: boto3.client('stepfunctions').start_sync_execution(stateMachineArn='arn:aws:states:x'),\n"
        "             lambda: boto3.client('logs').start_live_tail(logGroupIdentifiers=['arn:aws:logs:x']),\n"
        "             lambda: boto3.client('bedrock-runtime').converse(modelId='m', messages=[])):\n"
        "    try: call()\n"
        "    except ClientError as error: print(error.response['ResponseMetadata']['HTTPStatusCode'], error)"
    )
    lines = python(shell, program).splitlines()
    assert [line.split()[0] for line in lines] == ["501", "501", "501"]
    assert all("(UnsupportedOperationException)" in line for line in lines)


def test_a_bucket_of_amazons_own_is_not_there(shell: Shell) -> None:
    program = (
        "import boto3, botocore\n"
        "from botocore.config import Config\n"
        "s3 = boto3.client('s3', config=Config(signature_version=botocore.UNSIGNED))\n"
        "try: s3.get_object(Bucket='jumpstart-cache-prod-us-east-1', Key='models_manifest.json')\n"
        "except Exception as error: print(error)"
    )
    assert "(NoSuchBucket)" in python(shell, program)


def test_plain_https_without_boto3_trusts_the_authority(shell: Shell) -> None:
    program = (
        "import urllib.request, urllib.error\n"
        "try: urllib.request.urlopen('https://sm-pysdk-t-us-east-1.s3.us-east-1.amazonaws.com/telemetry?x-status=1')\n"
        "except urllib.error.HTTPError as error: print(error.code, error.read().decode())"
    )
    assert "<Code>NoSuchBucket</Code>" in python(shell, program)
    done = shell.run_inside("curl", "-sS", "https://dynamodb.us-east-1.amazonaws.com/", "-d", "{}")
    assert "UnsupportedOperationException" in done.text, done.errors


def test_other_hosts_are_reached_through_the_tunnel(shell: Shell) -> None:
    """The guard lets nothing but this machine be named, so the other host has this machine's address in another spelling."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            line, _ = listener.accept()
            with line:
                line.recv(65536)
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")

        thread = threading.Thread(target=answer)
        thread.start()
        done = shell.run_inside("curl", "-sS", f"http://127.1.2.3.nip.invalid:{port}/", "--resolve", "x:1:127.0.0.1")
        assert "could not be reached" in done.text  # this name is nobody's: the proxy was asked, and tells
        done = shell.run_inside("curl", "-sS", "--noproxy", "", f"http://127.0.0.1:{port}/")
        assert done.text == "hello", done.errors
        thread.join()


def test_nothing_left_the_machine(shell: Shell) -> None:
    assert shell.left_the_machine() == []


# Who the command is


def test_the_environment_names_only_kenja(shell: Shell) -> None:
    own = {
        "AWS_PROFILE": "production", "AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_ENDPOINT_URL_S3": "https://s3.example.com", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/tmp/none", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/",
        "AWS_BEARER_TOKEN_BEDROCK": "real-token", "NO_PROXY": "internal.example,.amazonaws.com,*", "AWS_MAX_ATTEMPTS": "2",
    }  # fmt: skip
    found = variables(shell, **own)
    text = json.dumps(found)
    for value in ("AKIAREAL", "s3.example.com", "real-token", "arn:aws:iam::1:role/x"):
        assert value not in text
    assert "AWS_PROFILE" not in found
    assert found["NO_PROXY"] == found["no_proxy"] == "localhost,127.0.0.1,::1,internal.example"
    assert found["HTTPS_PROXY"] == found["https_proxy"] == found["HTTP_PROXY"] == shell.server.endpoint
    assert found["AWS_MAX_ATTEMPTS"] == "2"  # a habit of the client, not a place or a name
    assert found["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"].startswith("https://")
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "us-east-1"
    assert variables(shell, AWS_REGION="eu-west-1")["AWS_DEFAULT_REGION"] == "eu-west-1"


def test_the_files_of_a_run_go_with_it(shell: Shell) -> None:
    found = variables(shell)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE", "SSL_CERT_FILE"):
        assert Path(found[name]).is_relative_to(shell.server.data)
        assert not Path(found[name]).exists()


POISON = "[{}]\nregion = eu-north-1\naws_access_key_id = AKIAPOISON\naws_secret_access_key = poison\n{}"


@pytest.fixture
def poisoned(server: RunningServer, tmp_path: Path) -> Iterator[tuple[Shell, dict[Path, Any]]]:
    """A shell whose home has an AWS set-up of the user's own, and the state of its files."""
    opened = open_shell(server, tmp_path)
    folder = opened.home / ".aws"
    folder.mkdir()
    (folder / "config").write_text(POISON.format("default", "endpoint_url = http://203.0.113.9\n"))
    (folder / "credentials").write_text(POISON.format("default", "") + POISON.format("production", ""))
    for path in folder.iterdir():
        os.utime(path, (1_600_000_000, 1_600_000_000))
    yield opened, state(opened.home)
    assert opened.left_the_machine() == []


def state(home: Path) -> dict[Path, Any]:
    return {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in home.rglob("*")}


@pytest.mark.parametrize("profile", ["", "production"])
def test_the_users_own_aws_files_are_neither_used_nor_changed(
    poisoned: tuple[Shell, dict[Path, Any]], profile: str
) -> None:
    opened, before = poisoned
    changes = {"AWS_PROFILE": profile} if profile else {}
    session = f"boto3.Session(profile_name={profile!r})" if profile else "boto3.Session()"
    program = f"import boto3; s = {session}; print(s.region_name, s.client('sts').get_caller_identity()['Account'])"
    assert python(opened, program, **changes).split() == ["us-east-1", opened.keys.account]
    script = "aws configure list; aws sts get-caller-identity; aws configure set region eu-central-1; aws s3 ls"
    done = opened.run_inside("bash", "-euc", script, **changes)
    assert done.status == 0, done.errors
    assert opened.keys.account in done.text
    assert "POISON" not in done.text
    assert "eu-north-1" not in done.text
    assert state(opened.home) == before


# The command's own status, streams and signals


def test_streams_and_status_are_passed_through(shell: Shell) -> None:
    data = bytes(range(256)) * 4000
    assert shell.run_inside("cat", stdin=data).output == data
    done = shell.run_inside("bash", "-c", "echo out; echo err >&2; exit 42")
    assert (done.status, done.text, done.errors) == (42, "out\n", "err\n")
    assert shell.run_inside("true").status == 0


def test_a_command_that_a_signal_ended_ends_kenja_run_in_the_same_way(shell: Shell) -> None:
    assert shell.run_inside("bash", "-c", "kill -9 $$").status == -9
    assert shell.run_inside("bash", "-c", "kill -SEGV $$").status == -signal.SIGSEGV


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        (["/no/such/command"], 127, "/no/such/command: not found"),
        (["/etc/passwd"], 126, "/etc/passwd: Permission denied"),
        ([], 2, "kenja run: no command"),
    ],
)
def test_what_can_not_be_run_is_told_as_shells_do(shell: Shell, command: list[str], status: int, told: str) -> None:
    done = shell.run_inside(*command)
    assert (done.status, done.text) == (status, "")
    assert told in done.errors


def test_an_unknown_account_is_refused_before_the_command(shell: Shell) -> None:
    command = ["kenja", "run", "--data", str(shell.server.data), "--account", "123456789012", "--", "echo", "ran"]
    done = shell.run_in(shell.bare(), *command)
    assert (done.status, done.text) == (1, "")
    assert "123456789012" in done.errors


TRAP = "trap 'echo got {0}; exit 5' {0}; echo ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1", "INT"])
def test_signals_to_kenja_run_reach_the_command_once(shell: Shell, name: str) -> None:
    command = shell.inside("bash", "-c", TRAP.format(name))
    number = signal.Signals[f"SIG{name}"]
    with subprocess.Popen(
        command, env=shell.bare(), stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # who runs the tests may ignore it, as nohup does
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == f"got {name}\n"
        assert process.wait(30) == 5


def test_ctrl_c_at_a_terminal_reaches_the_command_once(shell: Shell) -> None:
    """Twice would end the command in the middle of its answer to the first."""
    count = "import signal, time\nn = []\nsignal.signal(signal.SIGINT, lambda *_: n.append(1))\nprint('ready', flush=True)\n"
    count += "while not n: time.sleep(0.05)\ntime.sleep(1)\nprint('times:', len(n), flush=True)"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(shell.work)
        os.execvpe("kenja", shell.inside(PYTHON, "-c", count), shell.bare())
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 1024)
    os.write(terminal, b"\x03")
    while b"times:" not in said:
        said += os.read(terminal, 1024)
    time.sleep(0.1)
    assert b"times: 1" in said
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


# The server of a run


def alone(home: Path, *command: str) -> list[str]:
    """A command inside `kenja run` on a data folder that no server works on."""
    return ["kenja", "run", "--data", str(home / "data"), "--", *command]


def environment(home: Path) -> dict[str, str]:
    commands = Path(sys.executable).parent
    return {"PATH": f"{commands}:/usr/bin:/bin", "HOME": str(home), "KENJA_RUNTIMES": str(RUNTIMES), "LANG": "C.UTF-8"}


def test_a_server_is_started_when_none_runs_and_stopped_after(tmp_path: Path) -> None:
    script = "aws s3 mb s3://kept && aws configure list >/dev/null && exit 3"
    for _ in range(2):
        done = subprocess.run(
            alone(tmp_path, "bash", "-c", script), env=environment(tmp_path), capture_output=True, timeout=120
        )
        assert done.returncode == 3, done.stderr
        assert presence.running(tmp_path / "data") is None
        assert not (tmp_path / "data" / "run" / "server.json").exists()
    listed = subprocess.run(
        alone(tmp_path, "aws", "s3", "ls"), env=environment(tmp_path), capture_output=True, timeout=120
    )
    assert listed.stdout.split()[-1] == b"kept"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_running_server_is_used_and_left_running(shell: Shell) -> None:
    before = presence.running(shell.server.data)
    assert before is not None
    assert before.pid == shell.server.process.pid
    assert shell.run_inside("aws", "sts", "get-caller-identity").status == 0
    assert presence.running(shell.server.data) == before


def test_runs_at_the_same_time_share_a_server_and_the_last_one_stops_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    whoami = "aws sts get-caller-identity --query Account --output text"
    first, second = (
        subprocess.Popen(
            alone(tmp_path, "bash", "-c", f"{whoami}; read line; {whoami}"),
            env=environment(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    )  # fmt: skip
    assert first.stdout is not None
    assert second.stdout is not None
    assert first.stdout.readline() == second.stdout.readline() == "000000000000\n"
    server = presence.running(data)
    assert server is not None
    assert first.communicate("\n", 60)[0] == "000000000000\n"
    assert presence.running(data) == server
    assert second.communicate("\n", 60)[0] == "000000000000\n"
    assert (first.returncode, second.returncode) == (0, 0)
    assert not server.alive()


def test_a_server_that_a_killed_run_left_is_used_and_stopped_by_the_next(tmp_path: Path) -> None:
    command = alone(tmp_path, "bash", "-c", "echo ready; exec sleep 60")
    with subprocess.Popen(
        command, env=environment(tmp_path), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGKILL)
    left = presence.running(tmp_path / "data")
    assert left is not None
    done = subprocess.run(alone(tmp_path, "true"), env=environment(tmp_path), timeout=120)
    assert done.returncode == 0
    wait_until(lambda: not left.alive())


def test_a_server_that_can_not_start_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kenja.db").write_text("this is no database " * 500)
    (tmp_path / "file").write_text("")
    for place, told in (("data", "the server did not start"), ("file/data", "Not a directory")):
        command = ["kenja", "run", "--data", str(tmp_path / place), "--", "echo", "ran"]
        done = subprocess.run(command, env=environment(tmp_path), capture_output=True, timeout=120, text=True)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("kenja run: ")
        assert told in done.stderr


def test_the_table_of_services_with_host_prefixes_is_that_of_the_models() -> None:
    found = set()
    for name in botocore.session.get_session().get_available_services():
        folder = max(path for path in (Path(Loader.BUILTIN_DATA_PATH) / name).iterdir() if path.is_dir())
        if b'"hostPrefix"' in gzip.decompress((folder / "service-2.json.gz").read_bytes()):
            found.add(name)
    assert set(surroundings.PREFIXED) == found - {"s3"}  # S3's is WriteGetObjectResponse's alone
