"""The SELECTs of a listing: filters, order, keyset. Which index answers what is decided here; nothing is executed.

The order of a page and the filter by status have an index each; so have bounds on the column of the order. Every other
filter has to look at records one by one: it looks at a window of so many, wherever they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ColumnElement, Select, func, select, tuple_

from kenja.kernel.resources.tables import RESOURCE

if TYPE_CHECKING:
    from kenja.kernel.resources.store import Scope

SortColumn = Literal["created", "modified", "name", "status"]
Conditions = list[ColumnElement[bool]]
WINDOWS = (
    500,
    5_000,
)  # records that one page looks at: first, and then at most; all of them about 10 to 15 ms on SQLite

COLUMNS = (RESOURCE.c.id, RESOURCE.c.account, RESOURCE.c.region, RESOURCE.c.kind, RESOURCE.c.name, RESOURCE.c.arn,
           RESOURCE.c.status, RESOURCE.c.created, RESOURCE.c.modified, RESOURCE.c.version, RESOURCE.c.body)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Query:
    """A listing: filters, order and where the last page ended."""

    scope: Scope
    kind: str
    limit: int
    sort: SortColumn = "created"
    ascending: bool = False
    after: tuple[Any, int] | None = None  # (sort value, id) of the last record of the page before
    name_contains: str | None = None
    name_prefix: str | None = None
    status: str | None = None
    created_after: float | None = None  # seconds; exclusive, like every bound here
    created_before: float | None = None
    modified_after: float | None = None
    modified_before: float | None = None


def stretches(query: Query) -> list[Conditions]:
    """What lies behind the last page as ranges of the order's index, one after another; together they are all of it.

    Many records share a status, and SQLite finds the place within a (status, id) only when the status is given.
    """
    row, after = RESOURCE.c, query.after
    if after is None:
        return [[]]
    if query.sort != "status":
        mark = tuple_(row[query.sort], row.id)
        return [[mark > after if query.ascending else mark < after]]
    status, last = after
    same = [row.status == status, row.id > last if query.ascending else row.id < last]
    if query.status is not None:
        return [same]
    return [same, [row.status > status if query.ascending else row.status < status]]


def whole(query: Query, stretch: Conditions, limit: int) -> Select[Any]:
    """The first records of a stretch, however many have to be looked at."""
    where = [condition for name, condition in _filters(query, RESOURCE.c) if name != query.sort]
    return _ordered(query, stretch, *COLUMNS).where(*where).limit(limit)


def windowed(query: Query, stretch: Conditions, limit: int, window: int) -> Select[Any]:
    """Those of the first records of a stretch that lie in the first `window` that the index leads to."""
    if not has_window(query):
        return whole(query, stretch, limit)
    looked_at = _ordered(query, stretch, *COLUMNS).limit(window).subquery()
    where = [condition for name, condition in _filters(query, looked_at.c) if name != query.sort]
    return select(looked_at).where(*where).order_by(*_order(query, looked_at.c)).limit(limit)


def end(query: Query, stretch: Conditions, window: int) -> Select[Any]:
    """(value, id) of the last record of a window; no row when there are fewer."""
    columns = RESOURCE.c[query.sort].label("value"), RESOURCE.c.id
    return _ordered(query, stretch, *columns).offset(window - 1).limit(1)


def has_window(query: Query) -> bool:
    """True when records have to be looked at one by one."""
    return any(name != query.sort for name, _ in _filters(query, RESOURCE.c))


def _ordered(query: Query, stretch: Conditions, *columns: ColumnElement[Any]) -> Select[Any]:
    """Records of a stretch, in order, that pass the filters which the index of that order answers."""
    row = RESOURCE.c
    where = [row.account == query.scope.account, row.region == query.scope.region, row.kind == query.kind, *stretch]
    if query.status is not None:
        where.append(row.status == query.status)
    where += [condition for name, condition in _filters(query, row) if name == query.sort]
    return select(*columns).where(*where).order_by(*_order(query, row))


def _order(query: Query, row: Any) -> list[ColumnElement[Any]]:
    columns = row[query.sort], row.id
    return [column.asc() if query.ascending else column.desc() for column in columns]


def _filters(query: Query, row: Any) -> list[tuple[str, ColumnElement[bool]]]:
    """Conditions with the column by whose order an index answers them ("" when none does); the status is apart."""
    found: list[tuple[str, ColumnElement[bool]]] = []
    if query.name_contains is not None:
        found.append(("", func.lower(row.name).contains(query.name_contains.lower(), autoescape=True)))
    if query.name_prefix is not None:
        found += [("name", row.name >= query.name_prefix), ("name", row.name < query.name_prefix + "\U0010ffff")]
    if query.created_after is not None:
        found.append(("created", row.created > query.created_after))
    if query.created_before is not None:
        found.append(("created", row.created < query.created_before))
    if query.modified_after is not None:
        found.append(("modified", row.modified > query.modified_after))
    if query.modified_before is not None:
        found.append(("modified", row.modified < query.modified_before))
    return found
