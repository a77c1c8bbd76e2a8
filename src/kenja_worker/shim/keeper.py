"""First process of a sandbox: starts the job's program, reaps orphans, forwards SIGTERM, reports the end. Holds no log and no policy."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
from collections.abc import Collection
from typing import NoReturn

from kenja_worker.shim import system
from kenja_worker.shim.child import Ends, Program
from kenja_worker.shim.processes import kill_descendants
from kenja_worker.shim.warm import run_in_process

_OUT_OF_MEMORY_SCORE = 500  # of 1000: the job goes before its keeper, its shim and the platform


def reset_signals() -> None:
    """Undo what the shim had set; a program starts with default handlers and nothing blocked."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP) and signal.getsignal(number) != signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def close_all_but(kept: Collection[int]) -> None:
    """Close every descriptor from 3 on that is not in `kept`: logs, locks and sockets of the shim stay out of the job."""
    lowest = 3
    for number in sorted(kept):
        os.closerange(lowest, number)
        lowest = number + 1
    os.closerange(lowest, max(lowest, os.sysconf("SC_OPEN_MAX")))


def keep(program: Program, ends: Ends, *, isolated: bool) -> NoReturn:
    """Run `program` to its end and leave. On an isolating rung this process ends the pid namespace with itself."""
    if not isolated and sys.platform == "linux":
        system.adopt_orphans()
    wakeup_read, wakeup_write = os.pipe()
    os.set_blocking(wakeup_read, False)
    os.set_blocking(wakeup_write, False)
    child = os.fork()
    if child == 0:
        _run(program, ends)

    def forward(number: int, _frame: object) -> None:
        try:
            os.killpg(child, number)
        except ProcessLookupError:  # not yet in a session of its own, or already gone
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                os.kill(child, number)

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
    os.close(ends.stdout)
    os.close(ends.stderr)
    ends.send("started")
    status = _wait(child, wakeup_read, ends.lifeline)
    if not isolated and sys.platform == "linux":
        kill_descendants(os.getpid())
    if status is not None:
        code = os.waitstatus_to_exitcode(status)
        ends.send("ended", exit_code=code if code >= 0 else None, signal=-code if code < 0 else None)
    os._exit(0)


def _wait(child: int, wakeup: int, lifeline: int) -> int | None:
    """The child's wait status; None if the shim is gone."""
    while True:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == child:
                return status
            if pid == 0:
                break
        ready, _, _ = select.select([wakeup, lifeline], [], [])
        if lifeline in ready and os.read(lifeline, 1) == b"":
            return None
        if wakeup in ready:
            os.read(wakeup, 4096)


def _run(program: Program, ends: Ends) -> NoReturn:
    """In the job's own process: the last steps before its code."""
    try:
        os.setsid()
        reset_signals()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, place in ((nothing, 0), (ends.stdout, 1), (ends.stderr, 2)):
            os.dup2(number, place)
        if sys.platform == "linux":
            system.set_dumpable(True)
            with open("/proc/self/oom_score_adj", "w") as handle:
                handle.write(str(_OUT_OF_MEMORY_SCORE))
        for which, value in program.resources:
            resource.setrlimit(which, (value, value))
        if program.processors:
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: program.processors])
        os.umask(0o022)
        os.makedirs(program.directory, exist_ok=True)
        os.chdir(program.directory)
        if not program.in_process:
            close_all_but({ends.report})  # closed by exec, as all descriptors that Python opens
            arguments = [program.python, "-m", program.module, *program.argv]
            os.execve(program.python, arguments, dict(program.env))
        close_all_but(())
    except BaseException as error:
        ends.send("failed", error=f"{type(error).__name__}: {error}")
        os._exit(126)
    run_in_process(program)
