"""The rung "bubblewrap": the same plan built by bwrap, where only a helper may make namespaces. Not for root."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile

from kenja_worker.shim import system
from kenja_worker.shim.child import BubblewrapChild, Ends, Program, close_ends, pipes
from kenja_worker.shim.keeper import close_all_but, reset_signals
from kenja_worker.shim.sandbox import ML, OWN_RUNG, Bind, Link, Plan, Text


def start(plan: Plan, program: Program) -> BubblewrapChild:
    """Raises FileNotFoundError if bwrap is not installed and PermissionError for root.

    bwrap keeps root's user id in the job, under which /proc/sys and services that trust local root would be open; root has
    our own rung, which changes the user.
    """
    if os.geteuid() == 0:
        raise PermissionError(
            f"bubblewrap is for ordinary users; root has the rung {OWN_RUNG!r}, which changes the user"
        )
    command = shutil.which("bwrap")
    if command is None:
        raise FileNotFoundError("bwrap is not installed (package bubblewrap)")
    arguments = _arguments(plan, program)
    ends, own = pipes()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _inside(command, arguments, program, ends)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        close_ends(ends)
    return BubblewrapChild(pid, *own)


def _inside(command: str, arguments: list[str], program: Program, ends: Ends) -> None:
    try:
        close_all_but(ends.numbers())
        reset_signals()
        system.die_with_parent()
        ends.wait_for_go()
        with tempfile.TemporaryFile() as options:
            options.write(b"".join(argument.encode() + b"\0" for argument in arguments))
            options.seek(0)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for number, place in ((nothing, 0), (ends.stdout, 1), (ends.stderr, 2)):
                os.dup2(number, place)
            for number in (options.fileno(), ends.report):
                os.set_inheritable(number, True)
            words = [command, "--args", str(options.fileno()), "--info-fd", str(ends.report), "--"]
            words += [program.python, "-m", program.module, *program.argv]
            os.execve(command, words, {})  # the job's environment is set inside: LD_PRELOAD must not reach bwrap itself
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def _arguments(plan: Plan, program: Program) -> list[str]:
    words = ["--die-with-parent", "--new-session", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    words += ["--hostname", plan.host_name, "--cap-drop", "ALL", "--clearenv"]
    words += ["--unshare-net"] if plan.isolated_network else []
    words += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev", "--tmpfs", "/dev/shm"]
    for entry in plan.entries:
        if isinstance(entry, Link):
            words += ["--symlink", entry.to, entry.target]
        elif isinstance(entry, Text):
            words += ["--ro-bind", _keep_text(plan, entry), entry.target]
        elif not entry.target.startswith("/dev/") or entry.target.count("/") > 2 or entry.source not in _OWN_DEVICES:
            words += [_bind_option(entry), entry.source, entry.target]
    words += ["--remount-ro", "/"]
    for name, value in program.env.items():
        words += ["--setenv", name, value]
    if program.directory.startswith(f"{ML}/"):
        words += ["--dir", program.directory]
    return [*words, "--chdir", program.directory]


_OWN_DEVICES = {
    f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")
}  # bwrap's --dev has them


def _bind_option(entry: Bind) -> str:
    if entry.devices:
        return "--dev-bind"
    return "--bind" if entry.writable else "--ro-bind"


def _keep_text(plan: Plan, entry: Text) -> str:
    folder = os.path.join(plan.folder, "etc")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, os.path.basename(entry.target))
    with open(path, "w") as handle:
        handle.write(entry.content)
    return path
