"""Scalars as text: what headers, paths, query strings, forms and XML have in common. No structures here."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from typing import Any

from botocore.model import Shape

from kenja.wire import timestamps
from kenja.wire.errors import Malformed

INTEGER_BITS = {"integer": 31, "long": 63}  # value bits of the signed types; Smithy specification, simple types
SPECIAL_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # Smithy protocols, floats in text

_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d{1,400}\.?\d{0,400}|\.\d{1,400})([eE][+-]?\d{1,4})?", re.ASCII)


def reader(shape: Shape) -> Callable[[str], Any]:
    """Text to the value of a scalar shape; raises Malformed."""
    kind = shape.type_name
    if kind in INTEGER_BITS:
        return _integer_reader(kind)
    return _READERS.get(kind, _same)


def writer(shape: Shape, timestamp_form: str) -> Callable[[Any], str]:
    """The value of a scalar shape to text; `timestamp_form` is the protocol's default."""
    kind = shape.type_name
    if kind == "timestamp":
        return timestamps.text_writer(shape.serialization.get("timestampFormat", timestamp_form))
    return _WRITERS.get(kind, str)


def check_integer(value: int, kind: str) -> int:
    """The value itself, if it fits the type."""
    limit = 1 << INTEGER_BITS[kind]
    if not -limit <= value < limit:
        raise Malformed(f"{value!s:.40} does not fit a {kind}.")
    return value


def from_base64(text: str) -> bytes:
    """Strict: characters outside the alphabet and wrong padding are refused."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("The value is not valid base64.") from None


def to_base64(value: Any) -> str:
    """Bytes, or text as UTF-8."""
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def float_text(value: Any) -> str:
    """A number, NaN or an infinity as AWS spells it."""
    number = float(value)
    if math.isfinite(number):
        return repr(number)
    return "NaN" if number != number else ("Infinity" if number > 0 else "-Infinity")


def _integer_reader(kind: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _INTEGER.fullmatch(text.strip()):
            raise Malformed(f"'{text:.40}' is not a whole number.")
        return check_integer(int(text), kind)

    return read


def _read_float(text: str) -> float:
    trimmed = text.strip()
    if trimmed in SPECIAL_FLOATS:
        return SPECIAL_FLOATS[trimmed]
    if not _FLOAT.fullmatch(trimmed) or math.isinf(number := float(trimmed)):
        raise Malformed(f"'{text:.40}' is not a number.")
    return number


def _read_boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise Malformed(f"'{text:.40}' is not a boolean; send true or false.")
    return word == "true"


def _same(text: str) -> str:
    return text


def _write_boolean(value: Any) -> str:
    return "true" if value else "false"


_READERS: dict[str, Callable[[str], Any]] = {
    "float": _read_float,
    "double": _read_float,
    "boolean": _read_boolean,
    "timestamp": timestamps.from_text,
    "blob": from_base64,
}
_WRITERS: dict[str, Callable[[Any], str]] = {
    "boolean": _write_boolean,
    "blob": to_base64,
    "float": float_text,
    "double": float_text,
}
