"""Keeps a client on this machine: on PYTHONPATH of a test's process it refuses, and notes in a file, what would leave it."""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Any

EVENTS = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
}  # where each has its address


def loopback(host: Any) -> bool:
    """Whether a host, as a socket call takes it, is this machine."""
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: no library can get around it, and none that swallows the error can hide it."""
    if event not in EVENTS:
        return
    target = arguments[EVENTS[event]]
    if event in ("socket.connect", "socket.sendto"):
        if not isinstance(target, tuple):  # a Unix socket's path
            return
        target = target[0]
    host = target.decode() if isinstance(target, bytes) else target
    if loopback(host):
        return
    with open(os.environ["KENJA_TEST_OUTSIDE"], "a") as file:
        file.write(f"{event} {host}\n")
    raise OSError(f"this test's client may not leave the machine: {event} {host}")


sys.addaudithook(refuse)
