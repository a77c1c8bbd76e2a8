"""Where a channel's bytes come from: its folder's files in a stable order, or its pipe. No formats here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from kenja_worker.algorithms.algorithm import Channel
from kenja_worker.algorithms.errors import ClientError

PIPE = "Pipe"
BLOCK = 8 * 1024 * 1024  # bytes that are parsed at once


@dataclass(frozen=True)
class Source:
    """One file or pipe. `where` names it in messages; `size` is 0 for a pipe, whose length nobody knows."""

    stream: BinaryIO
    where: str
    size: int = 0


def sources(channel: Channel) -> Iterator[Source]:
    """The channel's files in a stable order, or its pipe of epoch 0, each open until the next. Raises ClientError for none.

    Files that begin with a dot or an underscore are no data, as in AWS's image: Spark's _SUCCESS is one.
    """
    if channel.input_mode == PIPE:
        pipe = channel.folder.with_name(f"{channel.folder.name}_0")
        if not pipe.exists():
            raise ClientError(f"Channel '{channel.name}' has input mode Pipe, but there is no pipe {pipe}.")
        with pipe.open("rb") as stream:
            yield Source(stream, f"channel '{channel.name}', pipe {pipe.name}")
        return
    paths = sorted(path for path in channel.folder.rglob("*") if path.is_file())
    files = [path for path in paths if not path.name.startswith((".", "_"))]
    if not files:
        raise ClientError(f"Channel '{channel.name}' is empty: no data files below {channel.folder}.")
    for path in files:
        with path.open("rb") as stream:
            yield Source(
                stream, f"channel '{channel.name}', file {path.relative_to(channel.folder)}", path.stat().st_size
            )


def lines(source: Source, size: int = BLOCK) -> Iterator[tuple[bytes, int]]:
    """Pieces of whole lines, each of about `size` bytes, with the number of the first line. A byte-order mark is left out."""
    rest = b""
    number = 1
    first = True
    while data := source.stream.read(size):
        if first:
            data = data.removeprefix(b"\xef\xbb\xbf")  # as Excel writes it
            first = False
        end = data.rfind(b"\n") + 1
        if not end:
            rest += data
            continue
        piece = rest + data[:end]
        yield piece, number
        number += piece.count(b"\n")
        rest = data[end:]
    if rest:
        yield rest, number
