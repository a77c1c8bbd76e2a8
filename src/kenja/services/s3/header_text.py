"""Text that travels in headers: what ISO-8859-1 can not hold, and RFC 2047's encoded words. No knowledge of objects.

Amazon S3 User Guide, "Working with object metadata": a value is decoded as RFC 2047 says before it is stored, and
encoded before it is returned; one of US-ASCII is given back as it came.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re

_WORDS = re.compile(r"=\?([\w-]+)\?([bBqQ])\?([^?\s]*)\?=(?:[ \t]+(?==\?))?")  # RFC 2047, 2 and 6.2
_PLAIN = re.compile(r"[\t\x20-\x7e]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # what no header's value may have; RFC 9110, 5.5
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def decoded(value: str) -> str:
    """A value with its encoded words read; unchanged where they stand for nothing but US-ASCII, or for nothing at all."""
    if "=?" not in value:
        return value
    try:
        text = _WORDS.sub(_word, value)
    except (LookupError, ValueError):  # an unknown character set, or bytes that are not of it
        return value
    return value if _PLAIN.fullmatch(text) else text


def encoded(value: str) -> str:
    """A value as a header can carry it."""
    if _PLAIN.fullmatch(value):
        return value
    return f"=?UTF-8?B?{base64.b64encode(value.encode()).decode()}?="


def fits(value: str) -> bool:
    """Whether a header can carry a value as it is."""
    return _CONTROL.search(value) is None and (value.isascii() or max(value) <= "\xff")


def is_name(name: str) -> bool:
    """Whether a header can have this name."""
    return _TOKEN.fullmatch(name) is not None


def _word(match: re.Match[str]) -> str:
    """Raises LookupError and ValueError."""
    charset, kind, text = match.groups()
    if kind in "bB":
        try:
            octets = base64.b64decode(text, validate=True)
        except binascii.Error as problem:
            raise ValueError(str(problem)) from None
    else:
        octets = quopri.decodestring(text.encode("latin-1"), header=True)
    return octets.decode(charset)
