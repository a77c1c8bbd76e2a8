"""A user's shell that `kenja env` has pointed at a server: commands in a clean environment, kept on this machine. No test here."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import Keys, RunningServer

SCRIPTS = Path(__file__).parent / "scripts"
GUARD = Path(__file__).parent / "guard"
COMMANDS = Path(sys.executable).parent  # where `kenja` and `aws` are
LIMIT = 300  # seconds for one command; the SDK looks at a job again after 30 s to 50 s


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    status: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        return self.output.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.output)


@dataclass(frozen=True)
class Shell:
    """One account's shell. `home` is its empty home folder, `work` where commands run."""

    server: RunningServer
    keys: Keys
    home: Path
    work: Path
    outside: Path  # connections that the guard refused
    variables: dict[str, str]

    @property
    def role(self) -> str:
        return f"arn:aws:iam::{self.keys.account}:role/KenjaExecutionRole"

    def bare(self) -> dict[str, str]:
        """The environment before `kenja env`: none of the keys, proxies and settings of whoever runs the tests."""
        return {
            "PATH": f"{COMMANDS}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(GUARD),
            "KENJA_TEST_OUTSIDE": str(self.outside),
        }

    def env_command(self, *more: str) -> list[str]:
        """`kenja env` for this account of this server."""
        port = str(urlsplit(self.server.endpoint).port)
        return ["kenja", "env", "--data", str(self.server.data), "--port", port, "--account", self.keys.account, *more]

    def inside(self, *command: str) -> list[str]:
        """A command of this account inside `kenja run`, to be run in the bare environment."""
        return ["kenja", "run", "--data", str(self.server.data), "--account", self.keys.account, "--", *command]

    def run_inside(self, *command: str, stdin: bytes = b"", **changes: str) -> Done:
        """Run a command inside `kenja run`; `changes` are variables of the user's own."""
        return self.run_in({**self.bare(), **changes}, *self.inside(*command), stdin=stdin)

    def run(self, *command: str, stdin: bytes = b"", **changes: str) -> Done:
        """Run a command after `kenja env`; `changes` are further variables."""
        return self.run_in({**self.bare(), **self.variables, **changes}, *command, stdin=stdin)

    def run_in(self, environment: dict[str, str], *command: str, stdin: bytes = b"") -> Done:
        """Run a command in an environment of its own."""
        done = subprocess.run(
            command, env=environment, cwd=self.work, input=stdin, capture_output=True, timeout=LIMIT, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr.decode())

    def aws(self, *arguments: str, stdin: bytes = b"") -> Done:
        """`aws …`, which must succeed."""
        done = self.run("aws", *arguments, stdin=stdin)
        assert done.status == 0, f"aws {shlex.join(arguments)} ended with {done.status}: {done.errors}{done.text}"
        return done

    def refused(self, *arguments: str, **changes: str) -> tuple[int, str]:
        """Exit status and message of an `aws …` that must not succeed."""
        done = self.run("aws", *arguments, **changes)
        assert done.status != 0, f"aws {shlex.join(arguments)} succeeded: {done.text}"
        return done.status, done.errors.strip()

    def client(self, service: str) -> Any:
        """A boto3 client of the same account in this process."""
        return self.server.client(service, self.keys)

    def left_the_machine(self) -> list[str]:
        """What clients of this shell tried to reach beyond it."""
        return self.outside.read_text().splitlines() if self.outside.exists() else []


def open_shell(server: RunningServer, folder: Path) -> Shell:
    """A shell with a fresh account, after `eval "$(kenja env …)"`."""
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    shell = Shell(server, server.new_account(), home, work, folder / "outside", {})
    done = shell.run_in(shell.bare(), *shell.env_command())
    assert done.status == 0, done.errors
    for line in done.text.splitlines():
        word, assignment = shlex.split(line)
        assert word == "export"
        name, _, value = assignment.partition("=")
        shell.variables[name] = value
    return shell
