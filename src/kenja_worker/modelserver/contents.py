"""Arrays over the wire as AWS's toolkits have them: JSON, CSV and NPY, to numpy and back. The built-in formats are tabular.py's."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing

    Array = numpy.typing.NDArray[Any]

JSON, CSV, NPY, ANY = "application/json", "text/csv", "application/x-npy", "*/*"
TEXTS = (JSON, CSV)  # what handlers get as text instead of bytes


class UnsupportedFormat(Exception):  # noqa: N818 - what is the matter
    """A content type that nothing here reads, or an accepted type that nothing here writes."""

    def __init__(self, media_type: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"Content type {media_type} is not supported by this framework; supported are {', '.join(known)}."
        )


def media_type(text: str) -> str:
    """Lower-case and without parameters."""
    return text.partition(";")[0].strip().lower()


def decode(body: str | bytes, content_type: str) -> Array:
    """An array of what stands there: numbers, or texts where not all are numbers. Raises UnsupportedFormat and ValueError."""
    found = _DECODERS.get(media_type(content_type))
    if found is None:
        raise UnsupportedFormat(content_type, tuple(_DECODERS))
    return found(body)


def encode(value: Any, accept: str) -> str | bytes:
    """An array, or what numpy takes for one. Raises UnsupportedFormat."""
    found = _ENCODERS.get(media_type(accept))
    if found is None:
        raise UnsupportedFormat(accept, tuple(_ENCODERS))
    return found(value)


def csv_rows(body: str | bytes) -> list[list[str]]:
    """The fields of each row that is not empty. Raises ValueError for ragged rows."""
    rows = [row for row in csv.reader(io.StringIO(as_text(body)), strict=True) if row]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise ValueError(f"CSV row {number} has {len(row)} values, row 1 has {len(rows[0])}")
    return rows


def as_text(body: str | bytes) -> str:
    return body if isinstance(body, str) else bytes(body).decode()


def _from_json(body: str | bytes) -> Array:
    import numpy

    return numpy.array(json.loads(as_text(body)))


def _from_csv(body: str | bytes) -> Array:
    """(rows, columns), of one row too."""
    import numpy

    array = numpy.array(csv_rows(body))
    try:
        return array.astype(numpy.float64)
    except ValueError:
        return array


def _from_npy(body: str | bytes) -> Array:
    import numpy

    if isinstance(body, str):
        raise ValueError("an NPY body is bytes")
    array: Array = numpy.load(io.BytesIO(body), allow_pickle=False)  # a pickle in a request could run any code
    return array


def _to_json(value: Any) -> str:
    def plain(item: Any) -> Any:
        if hasattr(item, "tolist"):
            return item.tolist()
        raise TypeError(f"{type(item).__name__} can not be written as JSON; give {ANY} another output_fn")

    return json.dumps(value, default=plain)


def _to_csv(value: Any) -> str:
    import numpy

    array = numpy.asarray(value)
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(array.reshape(len(array), -1) if array.ndim else [[array]])
    return written.getvalue()


def _to_npy(value: Any) -> bytes:
    import numpy

    written = io.BytesIO()
    numpy.save(written, value, allow_pickle=False)
    return written.getvalue()


_DECODERS: Mapping[str, Callable[[str | bytes], Array]] = {NPY: _from_npy, CSV: _from_csv, JSON: _from_json}
_ENCODERS: Mapping[str, Callable[[Any], str | bytes]] = {NPY: _to_npy, CSV: _to_csv, JSON: _to_json}
