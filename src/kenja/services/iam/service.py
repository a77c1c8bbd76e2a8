"""The service object that IAM's files register with, and what they share: documents on the wire and pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from kenja.kernel.context import Context
from kenja.kernel.declare import Service
from kenja.kernel.identity import policies
from kenja.kernel.resources import listing

DEFAULT_PAGE = 100  # MaxItems of a listing that names none; IAM API Reference
Item = TypeVar("Item")

service = Service(str(Path(__file__)))


def encoded(document: str) -> str:
    """A policy document as IAM answers it: percent-encoded as in RFC 3986."""
    return quote(document, safe="")


def checked_policy(context: Context, text: str, form: Literal["identity", "trust"]) -> policies.Policy:
    """A policy document's syntax. Raises MalformedPolicyDocument."""
    try:
        return policies.parse(text, form)
    except policies.Malformed as error:
        raise context.error("malformed_policy", str(error)) from None


def marked(context: Context, request: dict[str, Any]) -> tuple[Any, int] | None:
    """Where the page before ended, from the request's Marker; None on the first page."""
    try:
        return listing.decode(request.get("Marker"), _bound(request))
    except listing.BadToken:
        message = f"Invalid Marker: {request['Marker']!r} is not one that this listing returned."
        raise context.error("validation", message) from None


def marker(request: dict[str, Any], position: tuple[Any, int]) -> str:
    """The Marker of a page that ends at `position`."""
    return listing.encode(position, _bound(request))


def page(
    context: Context, request: dict[str, Any], items: Sequence[Item], member: str, shown: Callable[[Item], Any]
) -> dict[str, Any]:
    """One page of a short list that is at hand as a whole."""
    mark = marked(context, request)
    start = int(mark[1]) if mark else 0
    end = start + request.get("MaxItems", DEFAULT_PAGE)
    answer: dict[str, Any] = {member: [shown(item) for item in items[start:end]], "IsTruncated": end < len(items)}
    if end < len(items):
        answer["Marker"] = marker(request, ("", end))
    return answer


def _bound(request: dict[str, Any]) -> int:
    return listing.bound_to({name: value for name, value in request.items() if name not in ("Marker", "MaxItems")})
