"""Questions every compiler asks of a botocore shape: its wire name, its cache key, what stands in for a missing required member."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.model import Shape, StructureShape

_NEUTRAL: dict[str, Any] = {
    "integer": 0,
    "long": 0,
    "float": 0.0,
    "double": 0.0,
    "boolean": False,
    "timestamp": datetime.fromtimestamp(0, UTC),
    "blob": b"",
    "list": (),
    "map": {},
    "structure": {},
}


def wire_name(shape: Shape, member: str) -> str:
    """The name a member has on the wire."""
    name: str = shape.serialization.get("name", member)
    return name


def query_name(shape: Shape, member: str) -> str:
    """The name a member has in the query protocol, where a service that moved to JSON keeps its old names."""
    return str(shape.serialization.get("queryName") or wire_name(shape, member))


def cache_key(shape: Shape, *extra: Any) -> tuple[Any, ...]:
    """Two references to a shape compile alike when these agree."""
    return (shape.name, repr(shape.serialization), *extra)


def later(compiled: Mapping[tuple[Any, ...], Callable[..., Any] | None], key: tuple[Any, ...]) -> Callable[..., Any]:
    """Stands for a shape that is still being compiled (it contains itself); None in the table is identity."""

    def call(value: Any, *rest: Any) -> Any:
        convert = compiled[key]
        return value if convert is None else convert(value, *rest)

    return call


def is_document(shape: Shape) -> bool:
    """Smithy's free-form document type."""
    return bool(getattr(shape, "is_document_type", False))


def outside_answer(shape: Shape) -> bool:
    """Whether an output's member travels outside the body; path and query string have no meaning in an answer."""
    return shape.serialization.get("location") in ("header", "headers", "statusCode")


def is_header_json(shape: Shape) -> bool:
    """Whether a string is a JSON document in a header; the same trait on a body's member says nothing about the wire."""
    return bool(shape.serialization.get("jsonvalue") and shape.serialization.get("location") == "header")


def fillers(shape: StructureShape) -> dict[str, Any]:
    """What a result that lacks a required member gets: empty text, zero, false, 1970, an empty container.

    SDK v3 refuses answers without them. A union member has no neutral value and stays absent; so does a stream.
    """
    filled: dict[str, Any] = {}
    for name in shape.required_members:
        member = shape.members.get(name)
        if member is None or getattr(member, "is_tagged_union", False) or member.serialization.get("eventstream"):
            continue
        filled[name] = _NEUTRAL.get(member.type_name, "")
    return filled


def is_recursive_or_free(shape: Shape) -> bool:
    """Whether values of the shape may nest without a bound set by the model."""
    return _unbounded(shape, (), set())


def _unbounded(shape: Shape, parents: tuple[str, ...], bounded: set[str]) -> bool:
    if is_document(shape) or shape.name in parents:
        return True
    if shape.name in bounded:
        return False
    inside = (*parents, shape.name)
    children: list[Shape] = []
    if shape.type_name == "structure":
        children = list(shape.members.values())
    elif shape.type_name == "list":
        children = [shape.member]
    elif shape.type_name == "map":
        children = [shape.value]
    if any(_unbounded(child, inside, bounded) for child in children):
        return True
    bounded.add(shape.name)
    return False
