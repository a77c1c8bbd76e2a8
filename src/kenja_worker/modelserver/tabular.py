"""Tables of numbers over the wire: CSV and JSON requests to float32 rows, predictions to CSV and JSON. No model here."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kenja_worker.modelserver.handler import Answer, Invocation, Refused

if TYPE_CHECKING:
    import numpy.typing

    Array = numpy.typing.NDArray[Any]

CSV = "text/csv"
JSON = "application/json"
_ANY = ("", "*/*", "text/*", "application/*")
_NUMBER_BYTES = b"0123456789+-.eE, \n"
_MAX_FLOAT = 3.4028235e38  # the largest 32-bit float


def _parser() -> Callable[[bytes], Any]:
    """orjson where the runtime has it (2 µs instead of 7 for a row of 30), else the standard library."""
    try:
        import orjson
    except ModuleNotFoundError:
        return json.loads
    parse: Callable[[bytes], Any] = orjson.loads
    return parse


_parse = _parser()


def decode(invocation: Invocation) -> Array:
    """(rows, features) float32; an empty CSV field and a JSON null are NaN. Raises Refused: 400, or 415."""
    kind = invocation.content_type or CSV  # AWS's image takes a missing content type for CSV
    if kind not in (CSV, JSON):
        raise Refused(415, f"Content-type {kind} is not supported; supported are {CSV} and {JSON}.")
    if not invocation.body.strip():
        raise Refused(400, "The request body is empty; at least one row is needed.")
    return _decode_csv(invocation.body) if kind == CSV else _decode_json(invocation.body)


def encode(answers: Array, invocation: Invocation) -> Answer:
    """Predictions in the accepted form; without a wish, in the form of the request. Raises Refused 406."""
    accept = invocation.accept
    if accept in _ANY:
        accept = JSON if invocation.content_type == JSON and accept != "text/*" else CSV
    if accept == CSV:
        # AWS's image answers one line, its predictions joined by commas, a row of several numbers in brackets.
        return Answer(",".join(map(str, answers.tolist())).encode(), "text/csv; charset=utf-8")
    if accept == JSON:
        # The form of "Common data formats for inference" in AWS's guide.
        predictions = [{"score": score} for score in answers.tolist()]
        return Answer(json.dumps({"predictions": predictions}).encode(), JSON)
    raise Refused(406, f"Accept {accept} is not supported; supported are {CSV} and {JSON}.")


def _decode_csv(body: bytes) -> Array:
    text = body.replace(b"\r\n", b"\n").strip(b"\n")
    if not text.translate(None, _NUMBER_BYTES):
        try:  # plain numbers: a CSV body is then a JSON list but for its brackets
            return _table(_parse(b"[[" + text.replace(b"\n", b"],[") + b"]]"))
        except ValueError:
            pass  # an empty field, ragged rows or a number JSON does not know: read with care
    rows: list[list[float]] = []
    for number, line in enumerate(text.split(b"\n"), start=1):
        row = [_csv_number(field, number) for field in line.split(b",")]
        if rows and len(row) != len(rows[0]):
            raise Refused(400, f"Row {number} has {len(row)} values, row 1 has {len(rows[0])}.")
        rows.append(row)
    return _table(rows)


def _csv_number(field: bytes, row: int) -> float:
    text = field.strip()
    if not text:
        return math.nan
    try:
        return float(text.replace(b"_", b"?"))  # Python alone reads 1_000 as a number
    except ValueError:
        shown = text[:40].decode("utf-8", "backslashreplace")
        raise Refused(400, f"Row {row}: '{shown}' is not a number; CSV rows are numbers without header.") from None


def _decode_json(body: bytes) -> Array:
    try:
        value = _parse(body)
    except ValueError as error:
        raise Refused(400, f"The request body is not JSON: {error}.") from None
    except RecursionError:
        raise Refused(400, "The request body is nested too deeply.") from None
    rows = value.get("instances") if isinstance(value, dict) else value
    if not isinstance(rows, list) or not rows:
        raise Refused(
            400, 'JSON must be {"instances": [{"features": [...]}, ...]} or a list of rows, with a row at least.'
        )
    if not isinstance(rows[0], (list, dict)):
        rows = [rows]  # one row alone
    return _table([_json_row(row, number) for number, row in enumerate(rows, start=1)])


def _json_row(row: Any, number: int) -> list[float]:
    values = row.get("features") if isinstance(row, dict) else row
    if not isinstance(values, list):
        raise Refused(400, f"Instance {number} is neither a list of numbers nor an object with a list 'features'.")
    for value in values:
        if value is not None and type(value) not in (int, float):
            raise Refused(400, f"Instance {number}: {json.dumps(value)[:40]} is not a number; a missing value is null.")
    return [math.nan if value is None else value for value in values]


def _table(rows: list[list[float]]) -> Array:
    """Raises ValueError for ragged rows that came as JSON, Refused for numbers beyond a 32-bit float."""
    import numpy

    width = len(rows[0])
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise Refused(400, f"Row {number} has {len(row)} values, row 1 has {width}.")
    try:
        wide = numpy.array(rows, dtype=numpy.float64)
    except OverflowError:
        raise Refused(400, "A value is too large for a 32-bit number.") from None
    if (numpy.abs(wide) > _MAX_FLOAT).any():
        raise Refused(400, "A value is infinite or too large for a 32-bit number.")
    return wide.astype(numpy.float32)
