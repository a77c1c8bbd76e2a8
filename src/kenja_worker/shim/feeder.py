"""Pipe mode: one process a channel that writes its records into a FIFO for every epoch the job asks for. It lists and fetches nothing.

The contract (AWS's guide, "How Amazon SageMaker Provides Training Information"): the pipe of an epoch is CHANNEL_EPOCH,
counted from 0; a reader may close early, and the next pipe is there before the last one ends.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import stat
import struct
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kenja_worker.shim import system
from kenja_worker.shim.keeper import close_all_but, reset_signals
from kenja_worker.shim.spec import Pipe

_DATA = "ml/input/data"
_CHUNK = 1024 * 1024
_MAGIC = 0xCED7230A  # RecordIO: dmlc-core, include/dmlc/recordio.h
_MAX_RECORD = 2**29 - 1  # bytes


class FeedError(Exception):
    """The channel's data can not be delivered as asked; the message is for the job's owner."""


@dataclass(frozen=True)
class Plan:
    """What an epoch delivers. A record is a list of pieces, which stay together: {"file": path} or {"text": words}."""

    records: tuple[tuple[dict[str, str], ...], ...]
    gzip: bool = False  # the files are compressed, the pipe's bytes are not
    recordio: bool = False  # every piece becomes a RecordIO record
    seed: int | None = None  # the records' order is another one in every epoch

    @classmethod
    def read(cls, path: Path) -> Plan:
        document: dict[str, Any] = json.loads(path.read_bytes())
        return cls(**{**document, "records": tuple(map(tuple, document["records"]))})

    def order(self, epoch: int) -> list[tuple[dict[str, str], ...]]:
        """The records of an epoch, the same ones in the same order whenever it is asked for."""
        records = list(self.records)
        if self.seed is not None:
            random.Random(f"{self.seed}/{epoch}").shuffle(records)  # noqa: S311 - an order, no secret
        return records


class Feeders:
    """The processes that feed a job's pipes; they end with the shim, however it ends."""

    def __init__(self) -> None:
        self._running: dict[int, Path] = {}  # process → where it writes what went wrong

    def start(self, folder: Path, pipes: tuple[Pipe, ...]) -> None:
        """One for each pipe. The first pipe of every channel is there when this returns."""
        for pipe in pipes:
            data = folder / _DATA
            data.mkdir(parents=True, exist_ok=True)
            # The job may replace any name below its folder by a link; this descriptor stays the folder that it is now.
            directory = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            _make(directory, f"{pipe.channel}_0")
            problem = folder / f"feeder-{pipe.channel}.txt"
            pid = os.fork()
            if pid == 0:
                _run(directory, pipe, problem)
            self._running[pid] = problem
            os.close(directory)

    def end(self) -> str:
        """Stop them; empty, or why one could not deliver its data."""
        problems = []
        for pid, problem in self._running.items():
            ended, code = os.waitpid(pid, os.WNOHANG)
            if not ended:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            if problem.exists():
                problems.append(problem.read_text())
            elif ended and code:
                problems.append(f"InternalServerError: the process that wrote {problem.stem} ended with {code}.")
        self._running.clear()
        return " ".join(problems)


def _run(directory: int, pipe: Pipe, problem: Path) -> None:
    """The feeding process. Never returns."""
    code = 1
    try:
        close_all_but((directory,))
        reset_signals()
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a reader that closes early is an exception to be caught
        if sys.platform == "linux":
            system.die_with_parent()
        feed(directory, pipe.channel, Plan.read(Path(pipe.plan)))
        code = 0
    except FeedError as error:
        problem.write_text(f"ClientError: channel '{pipe.channel}': {error}")
    except BaseException as error:
        traceback.print_exc()
        problem.write_text(f"InternalServerError: the pipe of channel '{pipe.channel}' broke: {error!r}")
    finally:
        os._exit(code)


def feed(directory: int, channel: str, plan: Plan) -> None:
    """Epoch after epoch until the job ends, or makes something else of its pipe."""
    epoch = 0
    while (number := _open(directory, f"{channel}_{epoch}")) is not None:
        _make(directory, f"{channel}_{epoch + 1}")
        with os.fdopen(number, "wb") as stream:
            try:
                for record in plan.order(epoch):
                    for piece in record:
                        _write(piece, plan, stream)
                stream.flush()
            except BrokenPipeError:
                _forget(stream)
        os.unlink(f"{channel}_{epoch}", dir_fd=directory)
        epoch += 1


def _make(directory: int, name: str) -> None:
    before = os.umask(0)
    try:
        os.mkfifo(name, 0o666, dir_fd=directory)  # the job is another user; nobody else can enter its folder
    except FileExistsError:
        return  # by the job: when it is opened, it must be a pipe
    finally:
        os.umask(before)


def _open(directory: int, name: str) -> int | None:
    """The pipe once somebody reads it; None when the job has put something else there or removed it."""
    try:
        number = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None
    if stat.S_ISFIFO(os.fstat(number).st_mode):
        return number
    os.close(number)
    return None


def _forget(stream: BinaryIO) -> None:
    """Drop what the reader did not want, so that closing does not try to write it again."""
    number = os.open(os.devnull, os.O_WRONLY)
    os.dup2(number, stream.fileno())
    os.close(number)


def _write(piece: dict[str, str], plan: Plan, stream: BinaryIO) -> None:
    if "text" in piece:
        data = piece["text"].encode()
        stream.write(_head(len(data)) + data + bytes(-len(data) % 4) if plan.recordio else data)
        return
    path = Path(piece["file"])
    if plan.gzip and plan.recordio:
        data = b"".join(_unpacked(path))
        stream.write(_head(len(data)) + data + bytes(-len(data) % 4))
    elif plan.gzip:
        for data in _unpacked(path):
            stream.write(data)
    else:
        size = path.stat().st_size
        if plan.recordio:
            stream.write(_head(size))
        with path.open("rb") as file:
            shutil.copyfileobj(file, stream, _CHUNK)
        if plan.recordio:
            stream.write(bytes(-size % 4))


def _head(size: int) -> bytes:
    if size > _MAX_RECORD:
        raise FeedError(f"an object has {size} bytes; a RecordIO record may have {_MAX_RECORD}.")
    return struct.pack("<II", _MAGIC, size)


def _unpacked(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") as file:
            while data := file.read(_CHUNK):
                yield data
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        raise FeedError(f"CompressionType is Gzip, and {path.name} is not in order: {error}") from error
