"""Filter patterns that look into an event: { JSON } and [space, delimited]. Plain text is log_patterns' matter."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from kenja.kernel.telemetry.log_conditions import PatternError, Reader, Test, Value, number

Predicate = Callable[[str], bool]
_MISSING = object()
_SELECTOR = re.compile(r"\$((?:\.[\w-]+|\[\d{1,9}\])+)", re.ASCII)
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]", re.ASCII)
_IS = re.compile(r"IS\s+(NULL|TRUE|FALSE)(?![\w])")
_NOT_EXISTS = re.compile(r"NOT\s+EXISTS(?![\w])")
_CONSTANTS = {"NULL": None, "TRUE": True, "FALSE": False}
_NAME = re.compile(r"\w+", re.ASCII)
_CLOSED_BY = {"[": "]", '"': '"'}
_BARE = re.compile(r"\S+")


def json_pattern(text: str) -> Predicate:
    """`{ $.selector = value && … }`: events that are JSON and meet the condition. Raises PatternError."""
    reader = Reader(text)
    reader.take("{")
    test = reader.expression(lambda: _json_condition(reader))
    if not reader.take("}") or reader.text[reader.position :].strip():
        raise reader.fail("&&, || or the closing brace, and nothing behind it,")

    def matches(message: str) -> bool:
        try:
            return test(orjson.loads(message))
        except orjson.JSONDecodeError:
            return False

    return matches


def _json_condition(reader: Reader) -> Test[Any]:
    selector = reader.match(_SELECTOR)
    if selector is None:
        raise reader.fail("a selector such as $.name, $.list[0] or $.a.b")
    path = [name or int(index) for name, index in _STEP.findall(selector[1])]
    if (constant := reader.match(_IS)) is not None:
        wanted = _CONSTANTS[constant[1]]
        return lambda document: _selected(document, path) is wanted
    if reader.match(_NOT_EXISTS) is not None:
        return lambda document: _selected(document, path) is _MISSING
    compare = reader.comparison()

    def test(document: Any) -> bool:
        value = _value(_selected(document, path))
        return value is not None and compare(value)  # what is no text and no number is neither equal nor unequal

    return test


def _selected(document: Any, path: list[str | int]) -> Any:
    for step in path:
        if isinstance(step, int):
            if not isinstance(document, list) or step >= len(document):
                return _MISSING
            document = document[step]
        else:
            if not isinstance(document, dict):
                return _MISSING
            document = document.get(step, _MISSING)
    return document


def _value(found: Any) -> Value | None:
    if isinstance(found, str):
        return Value(found, None)
    if isinstance(found, int | float) and not isinstance(found, bool):
        return Value(str(found), float(found))
    return None


def field_pattern(text: str) -> Predicate:
    """`[name, name = value, …]`: events with those fields, each meeting its condition. Raises PatternError.

    Fields are separated by blanks; what stands in brackets or double quotes is one. `...` is any number of fields.
    """
    reader = Reader(text)
    reader.take("[")
    before, behind = _fields(reader)
    if reader.text[reader.position :].strip():
        raise reader.fail("nothing behind the closing bracket")

    def matches(message: str) -> bool:
        values = [Value(part, number(part)) for part in _parts(message)]
        if behind is None:
            return len(values) == len(before) and _meet(before, values)
        if len(values) < len(before) + len(behind):
            return False
        return _meet(before, values) and _meet(behind, values[len(values) - len(behind) :])

    return matches


def _parts(message: str) -> list[str]:
    """The fields of an event. One look at each character: an event may be long and full of brackets that nothing closes."""
    parts: list[str] = []
    position, unclosed = 0, set[str]()
    while (bare := _BARE.search(message, position)) is not None:
        position = bare.start()
        opening = message[position]
        closing = _CLOSED_BY.get(opening)
        end = -1 if closing is None or opening in unclosed else _closing(message, closing, position + 1)
        if end < 0:
            unclosed.add(opening)
            parts.append(bare[0])
            position = bare.end()
        else:
            parts.append(message[position + 1 : end])
            position = end + 1
    return parts


def _closing(message: str, sign: str, start: int) -> int:
    """Where the sign comes next without a backslash before it; -1 for nowhere."""
    end = message.find(sign, start)
    while end > start and message[end - 1] == "\\":
        end = message.find(sign, end + 1)
    return end


def _meet(tests: list[Test[Value]], values: list[Value]) -> bool:
    return all(test(value) for test, value in zip(tests, values, strict=False))


def _fields(reader: Reader) -> tuple[list[Test[Value]], list[Test[Value]] | None]:
    """The tests of the fields before and behind an ellipsis; None for no ellipsis."""
    before: list[Test[Value]] = []
    behind: list[Test[Value]] | None = None
    while True:
        if reader.take("..."):
            if behind is not None:
                raise PatternError("Invalid filter pattern: it has more than one ellipsis (...).")
            behind = []
        else:
            (before if behind is None else behind).append(_field(reader))
        if reader.take("]"):
            return before, behind
        if not reader.take(","):
            raise reader.fail("a comma or the closing bracket")


def _field(reader: Reader) -> Test[Value]:
    """One field: nothing, a name, or conditions on its name."""
    names: set[str] = set()

    def condition() -> Test[Value]:
        found = reader.match(_NAME)
        if found is None:
            raise reader.fail("the name of a field")
        names.add(found[0])
        if len(names) > 1:
            raise PatternError(
                f"Invalid filter pattern: the conditions of one field name {' and '.join(sorted(names))}."
            )
        reader.skip()
        if reader.text[reader.position : reader.position + 1] in (",", "]", ""):
            return lambda _value: True
        return reader.comparison()

    reader.skip()
    if reader.text[reader.position : reader.position + 1] in (",", "]"):
        return lambda _value: True
    return reader.expression(condition)
