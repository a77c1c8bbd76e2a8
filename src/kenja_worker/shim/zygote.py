"""A warm parent: imports a runtime's libraries once and forks a shim per job. Runs no job code itself and starts no thread."""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from kenja_worker.shim.main import run
from kenja_worker.shim.processes import identity

_REQUEST_SECONDS = 5.0  # for a caller to send its line
_REQUEST_LENGTH = 64 * 1024
_LOOK_SECONDS = 1.0  # between two looks at the stop flag and the socket
_BACKLOG = 128
_POOLS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_HELD = {
    **dict.fromkeys(_POOLS, "1"),  # BLAS libraries start their pool when they are loaded
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pandas imports pyarrow, whose allocator has a thread of its own
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kenja_worker.shim.zygote")
    parser.add_argument("socket", type=Path, help='Unix socket to serve; one JSON line per connection: {"job": FOLDER}')
    parser.add_argument("modules", help="modules to import, separated by commas; may be empty")
    parser.add_argument("--idle", type=float, default=900.0, help="seconds without a request after which it retires")
    parser.add_argument(
        "--with-parent", action="store_true", help="retire when standard input ends: with who started it"
    )
    options = parser.parse_args(arguments)
    preload([name for name in options.modules.split(",") if name])
    serve(options.socket, options.idle, with_parent=options.with_parent)
    return 0


def preload(modules: list[str]) -> None:
    """Import them without leaving a thread behind: a fork copies only the thread that forks."""
    held = {name: os.environ.get(name) for name in _HELD}
    os.environ.update(_HELD)
    for name in modules:
        importlib.import_module(name)
    for name, value in held.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise SystemExit(f"Importing {modules} started {threads - 1} threads; these modules cannot be preloaded.")
    gc.collect()
    gc.freeze()


def serve(path: Path, idle: float, *, with_parent: bool = False) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        listener.bind(str(path))
        os.umask(before)
        own = path.stat().st_ino
        listener.listen(_BACKLOG)
        stop = _Stop()
        signal.signal(signal.SIGTERM, stop.ask)
        signal.signal(signal.SIGCHLD, _reap)
        server = _Server(listener)
        retire = time.monotonic() + idle
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            if with_parent:
                selector.register(0, selectors.EVENT_READ)
            while not stop.asked and (left := retire - time.monotonic()) > 0 and _is_ours(path, own):
                ready = {key.fd for key, _ in selector.select(min(left, _LOOK_SECONDS))}
                if 0 in ready and not os.read(0, 1):
                    break
                if listener.fileno() in ready:
                    server.answer()
                    retire = time.monotonic() + idle
        if _is_ours(path, own):
            path.unlink()


def _is_ours(path: Path, inode: int) -> bool:
    """False if the socket was removed, with its data folder perhaps, or replaced by another zygote's: nobody will come."""
    return path.exists() and path.stat().st_ino == inode


class _Stop:
    asked = False

    def ask(self, _number: int, _frame: object) -> None:
        self.asked = True


def _reap(_number: int, _frame: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


class _Standby:
    """A child forked ahead of its job, so that the copy of a large parent is not waited for. It ends with its zygote."""

    def __init__(self, listener: socket.socket) -> None:
        read, self._write = os.pipe()
        before = signal.pthread_sigmask(
            signal.SIG_BLOCK, signal.valid_signals()
        )  # a stop must wait for the shim's handlers
        self.pid = os.fork()
        if self.pid == 0:
            listener.close()
            os.close(self._write)
            _become_shim(read)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(read)

    def take(self, folder: Path) -> None:
        """Give it its job; raises BrokenPipeError if it is gone."""
        try:
            os.write(self._write, os.fsencode(folder))
        finally:
            os.close(self._write)


class _Server:
    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._standby = _Standby(listener)

    def answer(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(_REQUEST_SECONDS)
            try:
                folder = _request(connection)
                answer = {} if folder is None else self._start(folder)
            except (OSError, ValueError) as error:  # the caller's fault; the next one must be served
                print(f"request refused: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                answer = {"error": str(error)}
            try:
                if answer:
                    connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError as error:  # it did not wait; the job's folder has the pid
                print(f"answer not taken: {error}", file=sys.stderr, flush=True)
        if "pid" in answer:
            self._standby = _Standby(self._listener)

    def _start(self, folder: Path) -> dict[str, str | int]:
        try:
            self._standby.take(folder)
        except BrokenPipeError:
            self._standby = _Standby(self._listener)
            self._standby.take(folder)
        return {"pid": self._standby.pid, "identity": identity(self._standby.pid)}


def _request(connection: socket.socket) -> Path | None:
    """The job's folder; None if the caller only looked whether somebody is here."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid not in (0, os.getuid()):
        raise ValueError(f"user {uid} may not start jobs here")
    data = b""
    while not data.endswith(b"\n"):
        piece = connection.recv(4096)
        if not piece and not data:
            return None
        if not piece or len(data) > _REQUEST_LENGTH:
            raise ValueError('a request is one line of JSON: {"job": FOLDER}')
        data += piece
    request: Any = json.loads(data)
    folder = Path(str(request["job"])) if isinstance(request, dict) and "job" in request else Path()
    if not folder.is_absolute() or not (folder / "spec.json").is_file():
        raise ValueError(f"{request!r} names no job folder with a spec.json")
    return folder


def _become_shim(orders: int) -> NoReturn:
    code = 0
    try:
        if name := _read_all(orders):
            code = _shim(Path(os.fsdecode(name)))
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)


def _read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as handle:
        return handle.read()


def _shim(folder: Path) -> int:
    os.setsid()
    os.umask(0o022)
    log = os.open(folder / "shim.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for place in (1, 2):
        os.dup2(log, place)
    os.close(log)
    return run(folder, warm=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
