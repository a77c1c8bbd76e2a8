"""Timestamps as AWS writes them: epoch seconds, ISO 8601 and RFC 822. Every form is read; the model says which is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import Any

from kenja.wire.errors import Malformed

_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?", re.ASCII)


def from_number(value: float) -> datetime:
    """Epoch seconds."""
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        raise Malformed(f"{value!r:.40} is not a timestamp between the years 1 and 9999.") from None


def from_text(text: str) -> datetime:
    """Any of the three forms."""
    trimmed = text.strip()
    if _NUMBER.fullmatch(trimmed):
        return from_number(float(trimmed))
    try:
        found = datetime.fromisoformat(trimmed) if trimmed[:1].isdigit() else parsedate_to_datetime(trimmed)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise Malformed(f"'{text:.60}' is not a timestamp; send ISO 8601, RFC 822 or epoch seconds.") from None


def writer(form: str) -> Callable[[Any], Any]:
    """Datetime or epoch seconds to the form of the model; text is passed on as it is."""
    return {"unixtimestamp": _unix, "rfc822": _rfc822}.get(form.lower(), _iso8601)


def text_writer(form: str) -> Callable[[Any], str]:
    """The same as text, whatever the form."""
    write = writer(form)
    return (lambda value: str(_unix(value))) if write is _unix else write


def seconds(value: datetime) -> float:
    """Epoch seconds; a moment without a zone is UTC."""
    return (value.replace(tzinfo=UTC) if value.tzinfo is None else value).timestamp()


def _unix(value: Any) -> Any:
    if isinstance(value, str):
        return value
    moment = seconds(value) if isinstance(value, datetime) else value
    whole = int(moment)
    return whole if whole == moment else round(moment, 3)


def _rfc822(value: Any) -> str:
    if isinstance(value, str):
        return value
    return _rfc822_of(int(seconds(value) if isinstance(value, datetime) else value))


@lru_cache(maxsize=4096)
def _rfc822_of(moment: int) -> str:
    """The same of whole epoch seconds; every answer tells when its object was modified."""
    return formatdate(moment, usegmt=True)


def _iso8601(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, datetime):
        value = datetime.fromtimestamp(value, UTC)
    moment = value if value.tzinfo in (None, UTC) else value.astimezone(UTC)
    if moment.microsecond >= 1000:
        return str(moment.isoformat(timespec="milliseconds")[:23]) + "Z"  # without the zone
    return str(moment.isoformat(timespec="seconds")[:19]) + "Z"
