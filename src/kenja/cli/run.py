"""`kenja run -- CMD`: CMD with all its AWS traffic landing here. What CMD prints, its signals and its exit status are its own."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess  # noqa: TID251 - the user's own command
import sys
from collections.abc import Sequence
from contextlib import closing

from kenja.cli import surroundings
from kenja.cli.borrowed import NoServer, server
from kenja.cli.main import add_data
from kenja.core import config
from kenja.kernel.kernel import Kernel

NOT_EXECUTABLE, NOT_FOUND = 126, 127  # exit statuses of POSIX shells
_WATCHED = (
    signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM, signal.SIGWINCH,
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which world, which command."""
    add_data(parser)
    parser.add_argument("--region", help=f"region (default: AWS_REGION, else {config.DEFAULT_REGION})")
    parser.add_argument("--account", default=config.DEFAULT_ACCOUNT, help="account (default: %(default)s)")
    parser.add_argument("--database-url", metavar="URL", help="of the server that is started when none runs")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- CMD …", help="the command and its arguments")


def run(options: argparse.Namespace) -> int:
    """Run the command; its exit status. Does not return when a signal ended it: this process ends in the same way."""
    command = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not command:
        print("kenja run: no command; use it like: kenja run -- python script.py", file=sys.stderr)
        return 2
    settings = config.from_environment(data=options.data, database_url=options.database_url)
    region = options.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    try:
        with server(settings) as present:
            world = surroundings.World(present, region or config.DEFAULT_REGION, options.account)
            kernel = Kernel(config.from_environment(data=settings.data, database_url=present.database_url))
            with closing(kernel), surroundings.prepared(kernel, world, os.environ) as environment:
                kernel.close()  # nothing of it is held while the command runs
                status = _run(command, environment)
    except (NoServer, ValueError, OSError) as error:
        print(f"kenja run: {error}", file=sys.stderr)
        return 1
    if status < 0:
        _end_by(-status)
    return status


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    """The command's exit status; -N when signal N ended it. Signals to this process are passed on to it.

    What the terminal's keyboard sends (the kernel is its sender) reaches the whole process group and is not sent twice.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    try:
        child = subprocess.Popen(
            command,
            env=environment,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before),  # noqa: PLW1509 - one thread here
        )
        while True:
            sender, number = _next_signal()
            status = child.poll()
            if status is not None:
                return status
            if number != signal.SIGCHLD and sender <= 0:
                child.send_signal(number)
    except FileNotFoundError:
        print(f"kenja run: {command[0]}: not found", file=sys.stderr)
        return NOT_FOUND
    except OSError as error:
        print(f"kenja run: {command[0]}: {error.strerror}", file=sys.stderr)
        return NOT_EXECUTABLE
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _next_signal() -> tuple[int, int]:
    """(code of the sender: positive for the kernel, else a process; number) of the next signal. Waits for it."""
    if sys.platform == "linux":
        found = signal.sigwaitinfo(_WATCHED)
        return found.si_code, found.si_signo
    else:  # noqa: RET505 - type checkers know it as the part for other systems
        number = signal.sigwait(_WATCHED)
        return int(number in (signal.SIGINT, signal.SIGQUIT)), number


def _end_by(number: int) -> None:
    """End this process by a signal, without a core of its own beside the command's."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
