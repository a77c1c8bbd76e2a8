"""Pages of a listing: the model's filters become a Query, and a page's end becomes an opaque token bound to its request."""

from __future__ import annotations

import base64
import binascii
import zlib
from datetime import datetime
from typing import Any

import orjson

from kenja.kernel.resources import documents
from kenja.kernel.resources.pages import Query, SortColumn
from kenja.kernel.resources.store import Record, Scope

_FILTERS = {  # members that SageMaker's List operations share -> field of Query
    "NameContains": "name_contains",
    "StatusEquals": "status",
    "CreationTimeAfter": "created_after",
    "CreationTimeBefore": "created_before",
    "LastModifiedTimeAfter": "modified_after",
    "LastModifiedTimeBefore": "modified_before",
}
_SORTS: dict[str, SortColumn] = {
    "Name": "name",
    "Status": "status",
    "CreationTime": "created",
    "LastModifiedTime": "modified",
}
DEFAULT_PAGE = 10  # MaxResults of a List that names none; SageMaker API reference


class BadToken(Exception):  # noqa: N818 - becomes the service's validation error
    """A NextToken that this request could not have been given."""


def query(request: dict[str, Any], scope: Scope, kind: str, *, ascending: bool) -> Query:
    """The query of one page, one record longer than the page so that its end is seen. Raises BadToken."""
    filters: dict[str, Any] = {
        field: value.timestamp() if isinstance(value, datetime) else value
        for member, field in _FILTERS.items()
        if (value := request.get(member)) is not None
    }
    order = request.get("SortOrder")
    return Query(
        scope=scope,
        kind=kind,
        limit=request.get("MaxResults", DEFAULT_PAGE) + 1,
        sort=_sort(request.get("SortBy", "CreationTime")),
        ascending=ascending if order is None else order == "Ascending",
        after=decode(request.get("NextToken"), bound_to(request)),
        **filters,
    )


def token(record: Record, request: dict[str, Any]) -> str:
    """The NextToken of a page that ends with `record`."""
    column = _sort(request.get("SortBy", "CreationTime"))
    return encode((getattr(record, column), record.id), bound_to(request))


def encode(position: tuple[Any, int], bound: int) -> str:
    """A position as an opaque token that only requests with the same filters accept."""
    return base64.urlsafe_b64encode(orjson.dumps([bound, *position])).decode()


def decode(text: str | None, bound: int) -> tuple[Any, int] | None:
    """The position in a token; None without one. Raises BadToken."""
    if text is None:
        return None
    try:
        found, value, row = orjson.loads(base64.urlsafe_b64decode(text))
    except (ValueError, binascii.Error, TypeError) as error:
        raise BadToken(text) from error
    if found != bound or not isinstance(row, int) or not isinstance(value, (str, int, float)):
        raise BadToken(text)
    return value, row


def bound_to(request: dict[str, Any]) -> int:
    """A number that is the same for all pages of one listing."""
    filters = {name: value for name, value in request.items() if name not in ("NextToken", "MaxResults")}
    return zlib.crc32(documents.dumps(sorted(filters.items())).encode())


def _sort(name: str) -> SortColumn:
    return next((column for word, column in _SORTS.items() if name.endswith(word)), "created")
