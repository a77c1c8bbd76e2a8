"""One framed connection without blocking, and the socket that a model server listens on. What is answered is not known here."""

from __future__ import annotations

import socket
import sys
from collections import deque
from pathlib import Path

from kenja_worker.algorithms.errors import ClientError
from kenja_worker.modelserver import frames

_READ = 1 << 18  # bytes taken from a socket at once


class Connection:
    """One gateway's connection: its unfinished frames and its unsent answers."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self.reader = frames.FrameReader()
        self.unsent: deque[memoryview] = deque()
        self.unsent_bytes = 0

    def receive(self) -> list[frames.Frame] | None:
        """Frames that arrived, or None when the peer is gone or does not speak the protocol."""
        try:
            data = self.peer.recv(_READ)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        try:
            return self.reader.feed(data)
        except frames.FrameError as error:
            print(f"model server: connection closed: {error}", file=sys.stderr, flush=True)
            return None

    def queue(self, answers: list[frames.Frame]) -> None:
        data = b"".join([frames.encode(answer) for answer in answers])
        self.unsent.append(memoryview(data))
        self.unsent_bytes += len(data)

    def send(self) -> bool:
        """Send what the peer takes. False when the peer is gone."""
        while self.unsent:
            data = self.unsent[0]
            try:
                sent = self.peer.send(data)
            except BlockingIOError:
                return True
            except OSError:
                return False
            self.unsent_bytes -= sent
            if sent == len(data):
                self.unsent.popleft()
            else:
                self.unsent[0] = data[sent:]
        return True


def listen(path: Path) -> socket.socket:
    """A listening socket that appears at `path` ready for connections, in place of one left by a dead server."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    starting = path.with_name(f".{path.name}")
    starting.unlink(missing_ok=True)
    try:
        listener.bind(str(starting))
    except OSError as error:
        raise ClientError(f"The socket {path} cannot be made: {error}.") from error
    starting.chmod(0o600)
    listener.listen(128)
    starting.replace(path)
    return listener
