"""One page of a range listing: keys in order, common prefixes rolled up by seeking past them. No SQL here.

The work of a page depends on its length, never on how many keys lie before it or below a common prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

_FIRST = 64  # rows of the first fetch of a grouped page; later ones adapt
_FEWEST = 32  # rows of a fetch: they cost as much as the statement itself


class Row(Protocol):
    """A row of a listing; rows come ordered by key."""

    @property
    def key(self) -> bytes: ...


AnyRow = TypeVar("AnyRow", bound=Row)
Fetch = Callable[[bytes, str, bytes | None, int], Sequence[AnyRow]]
"""(lowest key, inclusive; id after which to go on within that key; lowest key that is too high; most rows) -> rows"""


@dataclass(frozen=True, slots=True)
class Page(Generic[AnyRow]):
    """What a listing shows. `last` is the key or common prefix that ends it, None when it is empty."""

    rows: list[AnyRow]
    prefixes: list[bytes]
    truncated: bool
    last: bytes | None


def page(
    fetch: Fetch[AnyRow], *, prefix: bytes, delimiter: bytes, after: bytes | None, limit: int, after_id: str = ""
) -> Page[AnyRow]:
    """The first `limit` rows and common prefixes after `after`, among the keys that begin with `prefix`."""
    if limit <= 0:
        return Page([], [], False, None)
    end = successor(prefix) if prefix else None
    lower = prefix
    if after is not None:
        beyond = _beyond(after, prefix, delimiter, after_id)
        if beyond is None:
            return Page([], [], False, None)
        lower, after_id = (beyond, after_id if beyond == after else "") if beyond >= prefix else (prefix, "")
    if not delimiter:
        rows = list(fetch(lower, after_id, end, limit + 1))
        return Page(rows[:limit], [], len(rows) > limit, rows[:limit][-1].key if rows else None)
    return _grouped(fetch, lower, after_id, end, len(prefix), delimiter, limit)


def _grouped(
    fetch: Fetch[AnyRow], lower: bytes, after_id: str, end: bytes | None, skip: int, delimiter: bytes, limit: int
) -> Page[AnyRow]:
    rows: list[AnyRow] = []
    prefixes: list[bytes] = []
    last: bytes | None = None
    size = min(_FIRST, limit + 1)
    while True:
        batch = fetch(lower, after_id, end, size)
        passed: bytes | None = None  # keys below it belong to the common prefix that was seen last
        for row in batch:
            if passed is not None and row.key < passed:
                continue
            if len(rows) + len(prefixes) == limit:
                return Page(rows, prefixes, True, last)
            common = common_prefix(row.key, skip, delimiter)
            if common is None:
                rows.append(row)
                last, passed = row.key, None
                continue
            prefixes.append(common)
            last, passed = common, successor(common)
            if passed is None:
                return Page(rows, prefixes, False, last)
        if len(batch) < size:
            return Page(rows, prefixes, False, last)
        edge = batch[-1]
        if passed is not None and edge.key < passed:
            lower, after_id = passed, ""
            size = max(_FEWEST, size // 2)
        else:
            lower, after_id = edge.key, getattr(edge, "id", "")
            lower = lower if after_id else lower + b"\0"
            size = min(size * 4, limit + 1)


def common_prefix(key: bytes, skip: int, delimiter: bytes) -> bytes | None:
    """What a key is rolled up to: its first `skip` bytes and the rest up to and with the delimiter; None without one."""
    at = key.find(delimiter, skip)
    return None if at < 0 else key[: at + len(delimiter)]


def successor(prefix: bytes) -> bytes | None:
    """The lowest key above all that begin with `prefix`; None when there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def _beyond(after: bytes, prefix: bytes, delimiter: bytes, after_id: str) -> bytes | None:
    """The lowest key that may follow `after`; a common prefix that is not above it is left behind with all its keys.

    S3 API Reference, ListObjectsV2, delimiter: "filtered out from results if it is not lexicographically greater".
    """
    common = common_prefix(after, len(prefix), delimiter) if delimiter and after.startswith(prefix) else None
    if common is not None:
        return successor(common)
    return after if after_id else after + b"\0"
