"""The parts of a canonical request (AWS Signature Version 4, "Create a canonical request"), from what came on the wire."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+/?|/")  # normal already, and nothing to encode
_PLAIN_QUERY = re.compile(r"[A-Za-z0-9_.~%=-]*")
_SPACES = re.compile(r"[ \t]+")


@lru_cache(maxsize=256)
def path(raw: str) -> str:
    """The URI of every service but S3: dot segments and repeated slashes removed, each segment encoded once more."""
    if _PLAIN_PATH.fullmatch(raw):
        return raw
    kept: list[str] = []
    for segment in raw.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    tail = "/" if raw.endswith("/") and kept else ""
    return quote(octets("/" + "/".join(kept) + tail), safe="/~")


def query(pairs: Iterable[tuple[str, str]]) -> str:
    """Parameters sorted by encoded name and value; what a client left unencoded is encoded."""
    return "&".join(f"{name}={value}" for name, value in sorted((_encoded(n), _encoded(v)) for n, v in pairs))


def pairs(raw: str) -> list[tuple[str, str]]:
    """The parameters of a raw query string, still encoded; a name without "=" has an empty value."""
    if not raw:
        return []
    found = []
    for piece in raw.split("&"):
        name, _, value = piece.partition("=")
        found.append((name, value))
    return found


def loose(lines: str) -> bool:
    """True when header lines may hold spaces that `header` removes."""
    return "  " in lines or "\t" in lines or ": " in lines or " \n" in lines


def loose_octets(lines: bytes) -> bool:
    """`loose` for what was not decoded."""
    return b"  " in lines or b"\t" in lines or b": " in lines or b" \n" in lines


def header(value: str) -> str:
    """A header's value without spaces at the ends and with single ones inside."""
    if "  " in value or "\t" in value:
        value = _SPACES.sub(" ", value)
    return value.strip(" ")


def octets(text: str) -> bytes:
    """Text as the bytes that were on the wire: the server reads headers as Latin-1."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _encoded(text: str) -> str:
    return text if _PLAIN_QUERY.fullmatch(text) else quote(octets(text), safe="-_.~%")
