"""JSON documents that keep what requests hold: timestamps and bytes come back as they went in. Not a wire format."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson

_TIME, _BYTES = "$time", "$bytes"


def dumps(value: Any) -> str:
    """`value` as JSON text; datetimes and bytes are wrapped in one-member objects."""
    return orjson.dumps(value, default=_wrap, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def loads(text: str) -> Any:
    """What `dumps` was given."""
    value = orjson.loads(text)
    return _unwrap(value) if '{"$' in text else value


def _wrap(value: Any) -> Any:
    match value:
        case datetime():
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return {_TIME: aware.timestamp()}
        case bytes() | bytearray():
            return {_BYTES: base64.b64encode(value).decode()}
    raise TypeError(f"a document can not hold {type(value).__name__}")


def _unwrap(value: Any) -> Any:
    if isinstance(value, list):
        return [_unwrap(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == _TIME and isinstance(inner, (int, float)):
            return datetime.fromtimestamp(inner, UTC)
        if key == _BYTES and isinstance(inner, str):
            return base64.b64decode(inner)
    return {key: _unwrap(item) for key, item in value.items()}
