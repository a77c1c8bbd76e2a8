"""The regular expressions of AWS's models (Java's and ECMA's syntax) as Python's. What cannot be translated binds nobody."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

# Every assigned character lies in planes 0 to 3 and 14; the rest is unassigned or private use (Unicode 14, chapter 2).
_ASSIGNED = (range(0x40000), range(0xE0000, 0xE1000))

_POSIX = {  # Java's names for US-ASCII classes; java.util.regex.Pattern
    "ASCII": r"\x00-\x7f",
    "Alpha": "a-zA-Z",
    "Alnum": "a-zA-Z0-9",
    "Digit": "0-9",
    "Lower": "a-z",
    "Upper": "A-Z",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Space": r"\s",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1f\x7f",
    "XDigit": "0-9a-fA-F",
}
# Expressions that backtrack without bound on hostile text, and ones that match the same strings in linear time.
_LINEAR = {
    r"[a-z0-9]([-a-z0-9]*[a-z0-9]){0,39}?": r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?",
    r"https://([.\-_a-zA-Z0-9]+/?){3,1016}": r"https://(?=(?:[^/]/?){3})[.\-_a-zA-Z0-9]+(?:/[.\-_a-zA-Z0-9]+)*/?",
    r"\/?.+\/.+": r".[^/\n]*/.+",
}
_KEPT_ESCAPES = frozenset("AbBdDsSwWnrtfvx0123456789")
_CLASS_ESCAPES = frozenset("dDsSwW")


class _UntranslatableError(Exception):
    """Syntax that Python's expressions have no counterpart for."""


@cache
def compiled(text: str) -> re.Pattern[str] | None:
    """The expression, to be used with `fullmatch`; None where it cannot be translated."""
    text, flags = _LINEAR.get(text, text), re.ASCII
    if "(?i)" in text:
        text, flags = text.replace("(?i)", ""), flags | re.IGNORECASE
    try:
        return re.compile("".join(_translate(text)), flags)
    except (_UntranslatableError, re.error):
        return None


def _translate(text: str) -> Iterator[str]:
    position, in_class = 0, False
    while position < len(text):
        character = text[position]
        if character == "\\":
            piece, position = _escape(text, position, in_class)
            is_class = len(piece) == 2 and piece[1] in _CLASS_ESCAPES
            if in_class and is_class and text[position : position + 1] == "-":
                piece, position = piece + r"\-", position + 1
            yield piece
            continue
        position += 1
        if in_class:
            in_class = character != "]"
            yield (
                "\\" + character
                if character in "[&|~" or (character == "-" and text[position - 2] == "-")
                else character
            )
        elif character == "[":
            in_class = True
            yield "["
            if text[position : position + 1] == "^":
                position += 1
                yield "^"
        elif character == "$" and text[position : position + 1] in ("{", "+", "*"):
            position = (
                text.index("}", position) + 1 if text[position] == "{" and "}" in text[position:] else position + 1
            )
            yield "$"
        elif text.startswith("(?<", position - 1) and text[position + 2 : position + 3] not in ("=", "!"):
            position += 2
            yield "(?P<"
        else:
            yield character


def _escape(text: str, position: int, in_class: bool) -> tuple[str, int]:
    """The translation of the escape at `position` and where the text goes on."""
    letter = text[position + 1 : position + 2]
    after = position + 2
    if letter in ("p", "P") and letter:
        name, after = _property_name(text, after)
        body = _property(name, negated=letter == "P")
        return (body if in_class else f"[{body}]"), after
    if letter == "u":
        return _code_point(text, after)
    if letter in ("z", "Z") and letter:
        return r"\Z", after
    if letter == "h":
        return (r" \t" if in_class else r"[ \t]"), after
    if letter.isalnum() and letter not in _KEPT_ESCAPES:
        raise _UntranslatableError(letter)
    return "\\" + letter, after


def _code_point(text: str, start: int) -> tuple[str, int]:
    point, after = _hexadecimal(text, start), start + 4
    if 0xD800 <= point < 0xDC00 and text[after : after + 2] == "\\u":
        low = _hexadecimal(text, after + 2)
        if 0xDC00 <= low < 0xE000:
            point, after = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00), after + 6
    return f"\\U{point:08x}", after


def _hexadecimal(text: str, start: int) -> int:
    digits = text[start : start + 4]
    if not re.fullmatch("[0-9a-fA-F]{4}", digits):
        raise _UntranslatableError(digits)
    return int(digits, 16)


def _property_name(text: str, start: int) -> tuple[str, int]:
    if text[start : start + 1] != "{":
        return text[start : start + 1], start + 1
    end = text.find("}", start)
    if end < 0:
        raise _UntranslatableError(text)
    return text[start + 1 : end], end + 1


@cache
def _property(name: str, *, negated: bool) -> str:
    """The inside of a character class for a POSIX class or a Unicode general category (or the first letter of several)."""
    if name in _POSIX and not negated:
        return _POSIX[name]
    name = name.removeprefix("Is")
    ranges = _category_ranges(name)
    if not ranges:
        raise _UntranslatableError(name)
    if negated:
        ranges = tuple(_complement(ranges))
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)


@cache
def _category_ranges(name: str) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for block in _ASSIGNED:
        for point in block:
            if not unicodedata.category(chr(point)).startswith(name):
                continue
            if found and found[-1][1] == point - 1:
                found[-1] = (found[-1][0], point)
            else:
                found.append((point, point))
    return tuple(found)


def _complement(ranges: tuple[tuple[int, int], ...]) -> Iterator[tuple[int, int]]:
    start = 0
    for low, high in ranges:
        if low > start:
            yield start, low - 1
        start = high + 1
    if start < 0x110000:
        yield start, 0x10FFFF
