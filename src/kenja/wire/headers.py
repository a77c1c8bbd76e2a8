"""Header values: lists with quoting, dates, JSON in base64, prefixed maps. No HTTP framing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
from botocore.model import ListShape, Shape

from kenja.wire import scalars
from kenja.wire.errors import Malformed
from kenja.wire.shapes import is_header_json

_BREAKS = re.compile(r"[\r\n\x00]+")
_DATE = re.compile(r"[^,]+,[^,]+")  # an RFC 822 date holds exactly one comma


def reader(shape: Shape) -> Callable[[str], Any]:
    """Header text to value; raises Malformed."""
    if shape.type_name == "list":
        convert = scalars.reader(shape.member)
        split = _split_dates if _holds_commas(shape.member) else split_list
        return lambda text: [convert(part) for part in split(text)]
    if is_header_json(shape):
        return _read_json
    return scalars.reader(shape)


def writer(shape: Shape) -> Callable[[Any], str]:
    """Value to header text, always on one line."""
    if shape.type_name == "list":
        return _list_writer(shape)
    if is_header_json(shape):
        return lambda value: scalars.to_base64(orjson.dumps(value))
    convert = scalars.writer(shape, "rfc822")
    return lambda value: one_line(convert(value))


def one_line(text: str) -> str:
    """Line breaks in a value would start a header of their own."""
    return _BREAKS.sub(" ", text)


def split_list(text: str) -> list[str]:
    """Parts of a comma-separated list; a part may be quoted (RFC 9110, section 5.6)."""
    parts = []
    position, end = 0, len(text)
    while position < end:
        while position < end and text[position] in " \t":
            position += 1
        if position < end and text[position] == '"':
            part, position = _quoted(text, position + 1)
        else:
            stop = text.find(",", position)
            stop = end if stop < 0 else stop
            part, position = text[position:stop].strip(), stop + 1
        parts.append(part)
    return parts


def _quoted(text: str, position: int) -> tuple[str, int]:
    characters = []
    while position < len(text) and text[position] != '"':
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        characters.append(text[position])
        position += 1
    stop = text.find(",", position)
    return "".join(characters), len(text) if stop < 0 else stop + 1


def _holds_commas(member: Shape) -> bool:
    form = str(member.serialization.get("timestampFormat", "rfc822"))
    return bool(member.type_name == "timestamp" and form.lower() == "rfc822")


def _split_dates(text: str) -> list[str]:
    return [part.strip() for part in _DATE.findall(text)]


def _read_json(text: str) -> Any:
    try:
        return orjson.loads(scalars.from_base64(text))
    except orjson.JSONDecodeError:
        raise Malformed("The header is not base64 of a JSON document.") from None


def _list_writer(shape: ListShape) -> Callable[[Any], str]:
    convert = scalars.writer(shape.member, "rfc822")
    quotes = shape.member.type_name == "string"

    def write(value: Any) -> str:
        parts = [convert(item) for item in value if item is not None]
        if quotes:
            parts = [_quote(part) if "," in part or '"' in part else part for part in parts]
        return one_line(", ".join(parts))

    return write


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
