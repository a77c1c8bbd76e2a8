"""Values against a shape's constraints, in AWS's wording. One closure per shape; what fits costs no allocation.

Not here: what the model does not say (that a bucket exists, that two members go together).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from botocore.model import ListShape, MapShape, Shape, StructureShape

from kenja.wire import patterns
from kenja.wire.shapes import is_document, is_header_json, later

MAX_SHOWN = 1024  # characters of a value in a message
MAX_MATCHED = 65_536  # characters beyond a pattern's maximum length that are still matched: bounds the work


class Violation(NamedTuple):
    """One broken constraint; `path` is relative to where it was found."""

    path: tuple[str, ...]
    value: str
    constraint: str

    def under(self, *names: str) -> Violation:
        return Violation((*names, *self.path), self.value, self.constraint)

    def __str__(self) -> str:
        return f"Value{self.value} at '{'.'.join(self.path)}' failed to satisfy constraint: {self.constraint}"


Check = Callable[[Any], "list[Violation] | None"]


def violations(shape: Shape | None, params: Mapping[str, Any]) -> list[str]:
    """Every broken constraint, e.g. `Value 'x' at 'name' failed to satisfy constraint: Member must …`; empty if none."""
    if shape is None:
        return []
    try:
        found = _checker(shape)(params)
    except RecursionError:
        return ["Value at 'input' failed to satisfy constraint: Member must not be nested so deeply"]
    return [str(violation) for violation in found or ()]


def summary(found: Sequence[str]) -> str:
    """The message of AWS's validation errors."""
    count = "1 validation error" if len(found) == 1 else f"{len(found)} validation errors"
    return f"{count} detected: {'; '.join(found)}"


@cache
def _checker(shape: Shape) -> Check:
    return _Compiler().check(shape)


def _nothing(value: Any) -> None:
    return None


class _Compiler:
    """Checks of one top-level shape and all below it."""

    def __init__(self) -> None:
        self._checks: dict[tuple[Any, ...], Check] = {}

    def check(self, shape: Shape) -> Check:
        key = (shape.name, is_header_json(shape))
        if key not in self._checks:
            self._checks[key] = later(self._checks, key)
            self._checks[key] = self._compile(shape)
        return self._checks[key]

    def _compile(self, shape: Shape) -> Check:
        if shape.type_name == "structure":
            return _nothing if is_document(shape) else self._structure(shape)
        if shape.type_name == "list":
            return self._list(shape)
        if shape.type_name == "map":
            return self._map(shape)
        return _scalar(shape)

    def _structure(self, shape: StructureShape) -> Check:
        required = tuple(shape.required_members)
        checks = {
            name: (_path_name(name), self.check(member))
            for name, member in shape.members.items()
            if not member.serialization.get("eventstream")
        }
        is_union = bool(getattr(shape, "is_tagged_union", False))

        def check(value: Any) -> list[Violation] | None:
            if not isinstance(value, Mapping):
                return [_wrong_type(value, "a structure")]
            found: list[Violation] | None = None
            for name in required:
                if value.get(name) is None:
                    found = found or []
                    found.append(Violation((_path_name(name),), " null", "Member must not be null"))
            for name, item in value.items():
                member = checks.get(name)
                if member is None or item is None:
                    continue
                below = member[1](item)
                if below:
                    found = found or []
                    found.extend(violation.under(member[0]) for violation in below)
            if is_union and sum(item is not None for item in value.values()) != 1:
                found = found or []
                found.append(Violation((), _shown(value), f"Member must have exactly one of [{', '.join(checks)}] set"))
            return found

        return check

    def _list(self, shape: ListShape) -> Check:
        size, member = _size(shape), self.check(shape.member)
        rules = _rules(shape.member)

        def check(value: Any) -> list[Violation] | None:
            if not isinstance(value, (list, tuple)):
                return [_wrong_type(value, "a list")]
            found = size(value)
            for position, item in enumerate(value, 1):
                if item is None:
                    below: list[Violation] | None = [Violation((), " null", "Member must not be null")]
                else:
                    below = member(item)
                    if below and rules is not None:
                        found = [
                            *(found or ()),
                            Violation((), _shown(value), f"Member must satisfy constraint: [{rules}]"),
                        ]
                        break
                if below:
                    found = found or []
                    found.extend(violation.under(str(position), "member") for violation in below)
            return found

        return check

    def _map(self, shape: MapShape) -> Check:
        size, check_key, check_value = _size(shape), self.check(shape.key), self.check(shape.value)
        key_rules, value_rules = _rules(shape.key), _rules(shape.value)

        def check(value: Any) -> list[Violation] | None:
            if not isinstance(value, Mapping):
                return [_wrong_type(value, "a map")]
            found = size(value)
            if any(check_key(key) for key in value):
                text = f"Map keys must satisfy constraint: [{key_rules}]"
                found = [*(found or ()), Violation((), _shown(value), text)]
            for key, item in value.items():
                below = [Violation((), " null", "Member must not be null")] if item is None else check_value(item)
                if below and value_rules is not None:
                    text = f"Map value must satisfy constraint: [{value_rules}]"
                    found = [*(found or ()), Violation((), _shown(value), text)]
                    break
                if below:
                    found = found or []
                    found.extend(violation.under(str(key), "member") for violation in below)
            return found

        return check


def _scalar(shape: Shape) -> Check:
    kind = shape.type_name
    if kind in ("string", "character"):
        return _string(shape)
    if kind in ("integer", "long", "float", "double"):
        return _number(shape)
    if kind == "blob":
        return _blob(shape)
    if kind == "boolean":
        return lambda value: None if isinstance(value, bool) else [_wrong_type(value, "a boolean")]
    return lambda value: None if isinstance(value, (datetime, int, float)) else [_wrong_type(value, "a timestamp")]


def _string(shape: Shape) -> Check:
    if is_header_json(shape):
        return _nothing
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    pattern, allowed = shape.metadata.get("pattern"), frozenset(shape.metadata.get("enum", ()))
    least, most = low or 0, high if high is not None else float("inf")
    size, set_rule, secret = _size(shape), _enum_rule(shape), bool(shape.metadata.get("sensitive"))

    def check(value: Any) -> list[Violation] | None:
        if type(value) is not str:
            return [_wrong_type(value, "text")]
        found = None if least <= len(value) <= most else size(value)
        if allowed and value not in allowed:
            found = [*(found or ()), Violation((), _shown(value, secret), set_rule)]
        if pattern is not None and len(value) <= (high or 0) + MAX_MATCHED:
            expression = patterns.compiled(pattern)
            if expression is not None and expression.fullmatch(value) is None:
                rule = f"Member must satisfy regular expression pattern: {pattern}"
                found = [*(found or ()), Violation((), _shown(value, secret), rule)]
        return found

    return check


def _number(shape: Shape) -> Check:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    whole = shape.type_name in ("integer", "long")
    kinds: tuple[type, ...] = (int,) if whole else (int, float)

    def check(value: Any) -> list[Violation] | None:
        if not isinstance(value, kinds) or isinstance(value, bool):
            return [_wrong_type(value, "a whole number" if whole else "a number")]
        if high is not None and not value <= high:
            return [Violation((), _shown(value), f"Member must have value less than or equal to {high}")]
        if low is not None and not value >= low:
            return [Violation((), _shown(value), f"Member must have value greater than or equal to {low}")]
        return None

    return check


def _blob(shape: Shape) -> Check:
    size, secret = _size(shape), bool(shape.metadata.get("sensitive"))

    def check(value: Any) -> list[Violation] | None:
        if isinstance(value, (bytes, bytearray)):
            found = size(value)
            return [violation._replace(value="") for violation in found] if found and secret else found
        return None if hasattr(value, "read") else [_wrong_type(value, "bytes")]

    return check


def _size(shape: Shape) -> Callable[[Any], list[Violation] | None]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    secret = bool(shape.metadata.get("sensitive"))

    def check(value: Any) -> list[Violation] | None:
        if high is not None and len(value) > high:
            return [Violation((), _shown(value, secret), f"Member must have length less than or equal to {high}")]
        if low is not None and len(value) < low:
            return [Violation((), _shown(value, secret), f"Member must have length greater than or equal to {low}")]
        return None

    return check if low is not None or high is not None else _nothing


def _rules(shape: Shape) -> str | None:
    """All constraints of a scalar, as AWS prints them for a list's members and a map's keys and values."""
    if shape.type_name in ("structure", "list", "map"):
        return None
    low, high, pattern = (shape.metadata.get(name) for name in ("min", "max", "pattern"))
    noun = "value" if shape.type_name in ("integer", "long", "float", "double") else "length"
    rules = [
        f"Member must have {noun} less than or equal to {high}" if high is not None else "",
        f"Member must have {noun} greater than or equal to {low}" if low is not None else "",
        _enum_rule(shape) if shape.metadata.get("enum") else "",
        f"Member must satisfy regular expression pattern: {pattern}" if pattern is not None else "",
    ]
    return ", ".join(filter(None, rules)) or "Member must not be null"


def _enum_rule(shape: Shape) -> str:
    return f"Member must satisfy enum value set: [{', '.join(shape.metadata.get('enum', ()))}]"


def _path_name(member: str) -> str:
    return member[:1].lower() + member[1:]


def _wrong_type(value: Any, wanted: str) -> Violation:
    return Violation((), _shown(value), f"Member must be {wanted}")


def _shown(value: Any, secret: bool = False) -> str:
    """` 'value'` as AWS prints it: lists in brackets, maps in braces; nothing of a secret."""
    if secret:
        return ""
    text = _plain(value)
    return f" '{text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + '…'}'"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + _joined(f"{key}={_plain(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + _joined(_plain(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else f"{len(value)} bytes" if isinstance(value, (bytes, bytearray)) else str(value)


def _joined(parts: Iterable[str]) -> str:
    shown, length = [], 0
    for part in parts:
        shown.append(part)
        length += len(part)
        if length > MAX_SHOWN:
            break
    return ", ".join(shown)
