"""The sockets of a model server: one thread takes whatever waits in them and gives it to who answers. There is no timer.

On `stop`, what has arrived is answered before the connections end.
"""

from __future__ import annotations

import selectors
import signal
import socket
import time
from types import FrameType
from typing import Any

from kenja_worker.modelserver.connection import Connection
from kenja_worker.modelserver.frames import Frame

_MAX_UNSENT = 64 * 1024 * 1024  # bytes; a peer that does not read its answers is not read either
_DRAIN = 10.0  # seconds that a stopping server gives its peers to take their answers
_STEP = 0.1  # seconds between two looks of a stopping server that waits for answers

Arrived = list[tuple[Connection, list[Frame]]]


class Loop:
    """Connections of one listening socket, and other sources of events. Used by one thread."""

    drain = _DRAIN  # seconds that a stopping server waits for answers that are being made

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._stopping = self._draining = False
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def answer(self, arrived: Arrived) -> None:
        """Answer the frames now, or keep them and `send` their answers later."""
        raise NotImplementedError

    def attend(self, source: Any) -> None:
        """Something that was registered beside the connections is ready."""

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""

    def busy(self) -> bool:
        """True while answers are still being made."""
        return False

    def patience(self) -> float | None:
        """Seconds until `tick` wants to be called though nothing happens; None: never."""
        return None

    def tick(self) -> None:
        """Called after each turn."""

    def listen(self, listener: socket.socket) -> None:
        """Take connections from now on."""
        listener.setblocking(False)
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ)

    def add(self, source: Any) -> None:
        """Tell `attend` when a source is readable."""
        self._selector.register(source, selectors.EVENT_READ)

    def remove(self, source: Any) -> None:
        self._selector.unregister(source)

    def join(self, peer: socket.socket) -> Connection:
        """A connection like the accepted ones."""
        peer.setblocking(False)
        connection = Connection(peer)
        self._selector.register(peer, selectors.EVENT_READ, connection)
        return connection

    def send(self, connection: Connection, answers: list[Frame]) -> None:
        """Send frames as the peer takes them; nothing happens when it is gone."""
        if connection.peer.fileno() < 0:
            return
        connection.queue(answers)
        if connection.send():
            self._watch(connection)
        else:
            self._drop(connection)

    def stop(self, _number: int = signal.SIGTERM, _frame: FrameType | None = None) -> None:
        """End after the requests that have arrived are answered. Safe in a signal handler."""
        self._stopping = True
        try:
            self._wake.send(b"\0")
        except BlockingIOError:
            return  # it is woken already

    def run(self) -> None:
        """Serve until `stop`."""
        while not self._stopping:
            self._turn(self._selector.select(self.patience()))
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
        deadline = time.monotonic() + self.drain
        while time.monotonic() < deadline:
            ready = self._selector.select(_STEP if self.busy() else 0)
            if not ready and not self.busy():
                break
            self._turn(ready)
        self._draining = True
        for connection in self.connections():
            self._watch(connection)
        while any(connection.unsent for connection in self.connections()) and (ready := self._selector.select(_DRAIN)):
            self._turn(ready)

    def connections(self) -> list[Connection]:
        return [key.data for key in self._selector.get_map().values() if key.data is not None]

    def abandon(self) -> None:
        """Close everything, in a child that was forked to do something else."""
        for key in list(self._selector.get_map().values()):
            source: Any = key.fileobj
            source.close()
        self._selector.close()
        self._wake.close()

    def _turn(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        arrived: Arrived = []
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
                    continue
                if requests:
                    arrived.append((connection, requests))
                    continue
            self._watch(connection)
        if arrived:
            self.answer(arrived)
        self.tick()

    def _attend(self, source: Any) -> None:
        if source is self._woken:
            self._woken.recv(4096)
        elif source is self._listener:
            self._accept()
        else:
            self.attend(source)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return  # it went away again, or descriptors are short: the next turn tries again
        self.join(peer)

    def _watch(self, connection: Connection) -> None:
        if connection.peer.fileno() < 0:
            return
        reading = connection.unsent_bytes <= _MAX_UNSENT and not self._draining
        events = (selectors.EVENT_READ if reading else 0) | (selectors.EVENT_WRITE if connection.unsent else 0)
        key = self._selector.get_key(connection.peer)
        if events != key.events:
            if events:
                self._selector.modify(connection.peer, events, connection)
            else:
                self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if connection.peer.fileno() < 0:
            return
        self._selector.unregister(connection.peer)
        connection.peer.close()
        connection.unsent.clear()
        self.lost(connection)
