"""Processes that run a user's handlers, one request each at a time, behind one listening socket. The handlers are toolkit.py's.

This process loads nothing of the user's: it answers pings, hands requests on, and replaces workers that end or hang.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from kenja_worker.modelserver.connection import Connection, listen
from kenja_worker.modelserver.frames import Frame, FrameReader, Kind, encode
from kenja_worker.modelserver.loop import Arrived, Loop

ATTEMPTS = 3  # starts in a row that may fail before the whole server gives up
_FIRST_DELAY, _MAX_DELAY = 0.25, 10.0  # seconds before a worker that could not start is started again, doubling
_READ = 1 << 18  # bytes taken from a socket at once
_TEXT = b"text/plain; charset=utf-8"


class Answerer(Protocol):
    """A loaded model."""

    def answers(self, request: Frame) -> Iterator[Frame]: ...


@dataclass(eq=False)
class Worker:
    """One process. `held`: the request that it has, and where the answer goes."""

    pid: int
    line: Connection
    ready: bool = False
    held: tuple[Connection, Frame] | None = None
    deadline: float = 0.0  # monotonic time until which it must have answered


class Pool(Loop):
    """`count` workers that load a model each with `load`, in a process of their own."""

    drain = 25.0  # seconds; SIGKILL follows SIGTERM after 30

    def __init__(self, load: Callable[[], Answerer], count: int, timeout: float) -> None:
        super().__init__()
        self._load = load
        self._count = count
        self._timeout = timeout
        self._workers: dict[Connection, Worker] = {}
        self._waiting: deque[tuple[Connection, Frame]] = deque()
        self._failures = 0
        self._restart = 0.0  # monotonic time before which no worker is started again
        self._path: Path | None = None
        self._opened = False

    def serve(self, path: Path) -> int:
        """Serve at a socket that appears when the first worker is ready. The process's exit code."""
        self._path = path
        self._start()
        self.run()
        for worker in self._workers.values():
            self._end(worker)
        path.unlink(missing_ok=True)
        return 1 if self._failures >= ATTEMPTS or not self._opened else 0

    def answer(self, arrived: Arrived) -> None:
        for connection, frames in arrived:
            worker = self._workers.get(connection)
            for frame in frames:
                if worker is not None:
                    self._take(worker, frame)
                elif frame.kind is Kind.PING:
                    self.send(connection, [Frame(frame.id, Kind.PONG, status=200)])
                else:
                    self._waiting.append((connection, frame))
        self._dispatch()

    def lost(self, connection: Connection) -> None:
        worker = self._workers.pop(connection, None)
        if worker is None:
            return
        how = self._end(worker)
        if worker.held is not None:
            self._reply(worker, _ended(how))
        if worker.ready:
            self._failures = 0
            print(f"model server: a worker {how} and is replaced", file=sys.stderr, flush=True)
            return
        self._failures += 1
        self._restart = time.monotonic() + min(_FIRST_DELAY * 2**self._failures, _MAX_DELAY)
        if not self._opened or (self._failures >= ATTEMPTS and not any(each.ready for each in self._workers.values())):
            self._failures = max(self._failures, ATTEMPTS)
            self.stop()

    def busy(self) -> bool:
        return bool(self._waiting) or any(worker.held is not None for worker in self._workers.values())

    def patience(self) -> float | None:
        moments = [worker.deadline for worker in self._workers.values() if worker.held is not None]
        if self._opened and len(self._workers) < self._count:
            moments.append(self._restart)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def tick(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers.values()):
            if worker.held is not None and now >= worker.deadline:
                print(f"model server: a request took longer than {self._timeout:g} s", file=sys.stderr, flush=True)
                os.kill(worker.pid, signal.SIGKILL)  # its line ends, and `lost` does the rest
                worker.deadline = now + self._timeout
        if self._opened and not self._stopping:
            while len(self._workers) < self._count and now >= self._restart:
                self._start()

    def _take(self, worker: Worker, frame: Frame) -> None:
        if frame.kind is Kind.PART and worker.held is not None:
            connection, request = worker.held
            worker.deadline = time.monotonic() + self._timeout  # it is alive
            self.send(connection, [frame._replace(id=request.id)])
            return
        if frame.kind is not Kind.PONG:
            self._reply(worker, frame)
            return
        worker.ready = True
        self._failures = 0
        if not self._opened:
            assert self._path is not None
            self._opened = True
            self.listen(listen(self._path))
            print(f"model server: {self._count} workers, ready at {self._path}", flush=True)

    def _reply(self, worker: Worker, answer: Frame) -> None:
        assert worker.held is not None
        connection, request = worker.held
        worker.held = None
        self.send(connection, [answer._replace(id=request.id)])

    def _dispatch(self) -> None:
        for worker in list(self._workers.values()):
            while self._waiting and worker.ready and worker.held is None:
                connection, request = self._waiting.popleft()
                if connection.peer.fileno() < 0:
                    continue  # who asked is gone
                worker.held = (connection, request)
                worker.deadline = time.monotonic() + self._timeout
                self.send(worker.line, [request])

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._work(theirs)
        theirs.close()
        line = self.join(ours)
        self._workers[line] = Worker(pid, line)

    def _end(self, worker: Worker) -> str:
        """Make sure that a worker is gone; how it went, in words."""
        pid, status = os.waitpid(worker.pid, os.WNOHANG)
        if not pid:
            os.kill(worker.pid, signal.SIGKILL)
            _, status = os.waitpid(worker.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _work(self, line: socket.socket) -> NoReturn:
        """In the worker: load the model, then answer until the line ends."""
        code = 1
        try:
            signal.signal(signal.SIGTERM, lambda _number, _frame: None)  # the request is answered, then the line ends
            self.abandon()
            model = self._load()
            line.setblocking(True)
            line.sendall(encode(Frame(0, Kind.PONG, status=200)))
            _answer_all(line, model)
            code = 0
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _answer_all(line: socket.socket, model: Answerer) -> None:
    reader = FrameReader()
    while data := line.recv(_READ):
        for request in reader.feed(data):
            for answer in model.answers(request):
                line.sendall(encode(answer))


def _ended(how: str) -> Frame:
    message = f"The process of the model's handlers {how} while it handled this request; another one is being started."
    return Frame(0, Kind.ANSWER, message.encode(), _TEXT, status=500)
