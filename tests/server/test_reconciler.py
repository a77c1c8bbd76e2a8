"""Whose jobs a new reconciler takes over at once: those of owners that are dead, however little is left of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from kenja.server import reconciler
from tests.conftest import wait_until


def owner(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{reconciler._started(pid)}"


def test_an_owner_is_dead_once_its_process_has_ended_even_if_nobody_reaps_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        name = owner(child.pid)
        assert reconciler._alive(name)
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
        wait_until(lambda: not reconciler._alive(name), 5)
    assert not reconciler._alive(name)


def test_owners_of_other_machines_and_other_processes_with_the_same_number_are_told_apart() -> None:
    host, pid, started = owner(os.getpid()).rsplit(":", 2)
    assert reconciler._alive(f"{host}:{pid}:{started}")
    assert not reconciler._alive(f"{host}:{pid}:{int(started) + 1}")
    assert reconciler._alive(f"elsewhere:{pid}:{int(started) + 1}")
