"""A channel to a table: finds the format and gives its reader the files or the pipe. The formats have modules of their own."""

from __future__ import annotations

import importlib

from kenja_worker.algorithms.algorithm import Channel
from kenja_worker.algorithms.channels import files, formats
from kenja_worker.algorithms.channels.formats import FORMATS, Format
from kenja_worker.algorithms.channels.table import Table
from kenja_worker.algorithms.errors import ClientError


def read(channel: Channel, *, weights: bool = False, allowed: tuple[Format, ...] = FORMATS) -> Table:
    """All rows of a channel. `weights`: in CSV, the second column holds them; the other formats have no such column.

    Raises ClientError that names the channel, the file and, for text, the line for whatever is not in order.
    """
    form = formats.of(channel, allowed)
    reader = importlib.import_module(f"{__package__}.{form.module}")
    options = {"weights": True} if weights and form.name == "csv" else {}
    try:
        table: Table = reader.read(files.sources(channel), **options)
    except ClientError as error:
        if channel.content_type:
            raise
        hint = f"Channel '{channel.name}' has no ContentType, which means libsvm; set text/csv for CSV."
        raise ClientError(f"{error.args[0]} {hint}") from error
    if not len(table.labels):
        raise ClientError(f"Channel '{channel.name}' has no rows.")
    return table
