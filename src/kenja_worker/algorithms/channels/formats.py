"""Content types of training channels as data: names, parameters, input modes and the module that reads each. Reads nothing."""

from __future__ import annotations

from dataclasses import dataclass

from kenja_worker.algorithms.algorithm import Channel
from kenja_worker.algorithms.channels.files import PIPE
from kenja_worker.algorithms.errors import ClientError


@dataclass(frozen=True)
class Format:
    """One format. `module` has a function `read` from sources to a table."""

    name: str
    content_types: tuple[str, ...]
    module: str
    piped: bool = True


# AWS's guide, "Input/Output interface for the XGBoost algorithm", and the short names that its open image takes besides.
FORMATS = (
    Format("csv", ("text/csv", "csv"), "csv"),
    Format("libsvm", ("text/libsvm", "text/x-libsvm", "libsvm"), "libsvm", piped=False),
    Format("parquet", ("application/x-parquet", "parquet"), "parquet"),
    Format("recordio-protobuf", ("application/x-recordio-protobuf", "recordio-protobuf"), "protobuf"),
)
_CHARSETS = (
    "utf8",
    "utf-8",
    "us-ascii",
    "ascii",
    "iso-8859-1",
    "latin-1",
    "latin1",
)  # digits are the same bytes in all


def media_type(text: str) -> tuple[str, dict[str, str]]:
    """`text/csv; label_size=1` as the bare type and its parameters, in lower case."""
    kind, *parameters = text.lower().split(";")
    pairs = (parameter.partition("=") for parameter in parameters if parameter.strip())
    return kind.strip(), {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def of(channel: Channel, allowed: tuple[Format, ...] = FORMATS) -> Format:
    """The format that a channel declares; without a content type it is libsvm, as in AWS's image. Raises ClientError."""
    kind, parameters = media_type(channel.content_type or "text/libsvm")
    found = next((one for one in allowed if kind in one.content_types), None)
    if found is None:
        names = ", ".join(one.content_types[0] for one in allowed)
        raise ClientError(
            f"Channel '{channel.name}' has the ContentType '{channel.content_type}', which is not an accepted one; "
            f"accepted are {names}."
        )
    charset = parameters.get("charset", "utf-8")
    if charset not in _CHARSETS:
        raise ClientError(f"Channel '{channel.name}' has charset={charset}; text is read as utf-8. Convert the files.")
    label_size = parameters.get("label_size", "1")
    if found.name == "csv" and label_size != "1":
        raise ClientError(f"Channel '{channel.name}' has label_size={label_size}; this algorithm has one label.")
    if channel.input_mode == PIPE and not found.piped:
        raise ClientError(
            f"Channel '{channel.name}' has input mode Pipe, which is not supported for {found.name}; use File."
        )
    return found
