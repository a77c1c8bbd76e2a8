"""One request to one replica over a connection of its own, waiting for the answer: for pings and calls outside the fast path."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from kenja.core import unixsocket
from kenja_worker.modelserver.frames import Frame, FrameError, FrameReader, Kind, encode

_READ = 1 << 18  # bytes taken at once


class NoAnswer(Exception):  # noqa: N818 - what is the matter
    """The replica gave none. `sent`: it may have seen the request. `late`: the time was over."""

    def __init__(self, reason: str, *, sent: bool, late: bool = False) -> None:
        super().__init__(reason)
        self.sent = sent
        self.late = late


def connect(path: Path) -> socket.socket:
    """A connection to a Unix socket. Does not wait: a listening socket takes a connection at once. Raises OSError."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with unixsocket.address(path) as place:
            line.connect(place)
    except BaseException:
        line.close()
        raise
    return line


def ask(path: Path, request: Frame, seconds: float) -> Frame:
    """The answer of the replica behind a socket. Raises NoAnswer."""
    for frame in frames(path, request, seconds):
        return frame
    raise NoAnswer("the replica closed the connection", sent=True)


def frames(path: Path, request: Frame, seconds: float) -> Iterator[Frame]:
    """Parts of an answer and, last, the answer, each within so many seconds. Raises NoAnswer."""
    try:
        line = connect(path)
    except OSError as error:
        raise NoAnswer(str(error), sent=False) from error
    with line:
        line.settimeout(seconds)
        reader = FrameReader()
        try:
            line.sendall(encode(request))
            while True:
                data = line.recv(_READ)
                if not data:
                    raise NoAnswer("the replica closed the connection", sent=True)
                for frame in reader.feed(data):
                    yield frame
                    if frame.kind is not Kind.PART:
                        return
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {seconds:g} s", sent=True, late=True) from error
        except (OSError, FrameError) as error:
            raise NoAnswer(str(error), sent=True) from error


def answers_ping(path: Path, seconds: float) -> bool:
    """True when the model server behind a socket says that it is ready."""
    try:
        return ask(path, Frame(1, Kind.PING), seconds).kind is Kind.PONG
    except NoAnswer:
        return False
