"""`python -m kenja_worker.modelserver --socket PATH --algorithm NAME --model FOLDER`: serves one model until SIGTERM.

One thread: it takes whatever waits in its sockets, answers all of it at once, and sleeps. There is no timer.
The socket appears when the model is loaded; whoever can connect, can invoke.
"""

from __future__ import annotations

import argparse
import importlib
import os
import selectors
import signal
import socket
import sys
from collections import deque
from pathlib import Path
from types import FrameType

from kenja_worker.algorithms.errors import ClientError
from kenja_worker.modelserver import batching, frames
from kenja_worker.modelserver.handler import Handler

_READ = 1 << 18  # bytes taken from a socket at once
_MAX_UNSENT = 64 * 1024 * 1024  # bytes; a peer that does not read its answers is not read either
_DRAIN = 10.0  # seconds that a stopping server gives its peers to take their answers


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


class Server:
    """Answers all connections of one listening socket with one handler."""

    def __init__(self, handler: Handler, listener: socket.socket) -> None:
        self._handler = handler
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._wake, self._woken = socket.socketpair()
        for end in (listener, self._wake, self._woken):
            end.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """End after the requests that have arrived are answered. Safe in a signal handler."""
        self._stopping = True
        try:
            self._wake.send(b"\0")
        except BlockingIOError:
            return  # it is woken already

    def run(self) -> None:
        """Serve until `stop`."""
        while not self._stopping:
            self._turn(self._selector.select())
        self._selector.unregister(self._listener)
        self._listener.close()
        self._turn(self._selector.select(0))
        while self._unsent() and (ready := self._selector.select(_DRAIN)):
            self._turn(ready)

    def _turn(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        arrived: list[tuple[Connection, list[frames.Frame]]] = []
        for key, events in ready:
            connection: Connection | None = key.data
            if connection is None:
                self._attend(key.fileobj)
                continue
            if events & selectors.EVENT_WRITE and not connection.send():
                self._drop(connection)
                continue
            if events & selectors.EVENT_READ:
                requests = connection.receive()
                if requests is None:
                    self._drop(connection)
                elif requests:
                    arrived.append((connection, requests))
                    continue
            self._watch(connection)
        if arrived:
            self._answer(arrived)

    def _answer(self, arrived: list[tuple[Connection, list[frames.Frame]]]) -> None:
        everything = arrived[0][1] if len(arrived) == 1 else [request for _, few in arrived for request in few]
        answers = batching.answer_all(self._handler, everything)
        start = 0
        for connection, requests in arrived:
            end = start + len(requests)
            connection.queue(answers[start:end])
            start = end
            if connection.send():
                self._watch(connection)
            else:
                self._drop(connection)

    def _attend(self, source: object) -> None:
        if source is self._woken:
            self._woken.recv(4096)
            return
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return  # it went away again, or descriptors are short: the next turn tries again
        peer.setblocking(False)
        self._selector.register(peer, selectors.EVENT_READ, Connection(peer))

    def _watch(self, connection: Connection) -> None:
        if connection.peer.fileno() < 0:
            return
        reading = connection.unsent_bytes <= _MAX_UNSENT and not self._stopping
        events = (selectors.EVENT_READ if reading else 0) | (selectors.EVENT_WRITE if connection.unsent else 0)
        key = self._selector.get_key(connection.peer)
        if events != key.events:
            if events:
                self._selector.modify(connection.peer, events, connection)
            else:
                self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._selector.unregister(connection.peer)
        connection.peer.close()
        connection.unsent.clear()

    def _unsent(self) -> bool:
        return any(key.data is not None and key.data.unsent for key in self._selector.get_map().values())


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


def open_handler(algorithm: str, model: Path) -> Handler:
    """The handler of a built-in algorithm for the model below the folder. Raises ClientError."""
    module = f"kenja_worker.algorithms.{algorithm}.serve"
    try:
        serve = importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name is None or not module.startswith(missing.name):
            raise
        raise ClientError(f"There is no built-in algorithm '{algorithm}' that serves models.") from None
    handler: Handler = serve.open_handler(model)
    return handler


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kenja_worker.modelserver", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--algorithm", required=True)
    parser.add_argument("--model", type=Path, default=Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"), "model"))
    given = parser.parse_args(arguments)
    try:
        handler = open_handler(given.algorithm, given.model)
        server = Server(handler, listen(given.socket))
    except ClientError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    signal.signal(signal.SIGTERM, server.stop)
    print(f"model server: {given.algorithm} is ready at {given.socket}", flush=True)
    server.run()
    given.socket.unlink(missing_ok=True)
    return 0
