"""Range listings: against a listing in memory, and the work of a page against its length."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from kenja.kernel.objects import listing


@dataclass(frozen=True, order=True)
class Row:
    key: bytes


class Table:
    """Sorted rows, and how many were fetched."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.rows = [Row(key) for key in sorted(set(keys))]
        self.fetched = 0
        self.fetches = 0

    def fetch(self, lower: bytes, _id: str, end: bytes | None, most: int) -> list[Row]:
        start = bisect_left(self.rows, Row(lower))
        found = [row for row in self.rows[start : start + most] if end is None or row.key < end]
        self.fetched += len(found)
        self.fetches += 1
        return found


def expected(keys: Sequence[bytes], prefix: bytes, delimiter: bytes) -> list[bytes]:
    """Every entry of the listing, by the definition in the API reference."""
    entries = []
    for key in sorted(set(keys)):
        if key.startswith(prefix):
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            entry = key if at < 0 else key[: at + len(delimiter)]
            if entry not in entries[-1:]:
                entries.append(entry)
    return entries


KEYS = st.lists(st.text("ab/", min_size=1, max_size=6).map(str.encode), max_size=40)


@given(KEYS, st.sampled_from([b"", b"a", b"a/", b"b/a"]), st.sampled_from([b"", b"/", b"ab", b"a"]), st.integers(1, 7))
def test_pages_put_together_are_the_listing(keys: list[bytes], prefix: bytes, delimiter: bytes, limit: int) -> None:
    table = Table(keys)
    found: list[bytes] = []
    after = None
    while True:
        page = listing.page(table.fetch, prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        found += sorted([row.key for row in page.rows] + page.prefixes)
        assert len(page.rows) + len(page.prefixes) <= limit
        if not page.truncated:
            break
        after = page.last
    assert found == expected(keys, prefix, delimiter)


def test_common_prefixes_are_passed_without_reading_what_is_below_them() -> None:
    table = Table([f"{folder:03}/{number:05}".encode() for folder in range(20) for number in range(2000)])
    page = listing.page(table.fetch, prefix=b"", delimiter=b"/", after=None, limit=1000)
    assert len(page.prefixes) == 20
    assert table.fetched < 1000


def test_a_page_of_keys_is_one_fetch() -> None:
    table = Table([f"{number:06}".encode() for number in range(5000)])
    page = listing.page(table.fetch, prefix=b"", delimiter=b"", after=b"002000", limit=1000)
    assert page.rows[0].key == b"002001"
    assert (table.fetches, table.fetched) == (1, 1001)


def test_the_successor_of_a_prefix_of_highest_bytes() -> None:
    assert listing.successor(b"a\xff\xff") == b"b"
    assert listing.successor(b"\xff") is None
