"""Texts that a regular expression matches, the same every time. No test here."""

from __future__ import annotations

import re
from random import Random
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

ATTEMPTS = 120
PREFERRED = "abcxyzABCXYZ0123456789-_./:@ é賢"  # what a class is asked for first


def matching(expression: re.Pattern[str], random: Random, least: int = 0, most: int | None = None) -> str | None:
    """A text of `least` to `most` characters that the whole expression matches; None when none was found."""
    tree = _parser.parse(expression.pattern, expression.flags & ~re.DEBUG)
    for attempt in range(ATTEMPTS):
        extra = attempt // 2 % 12 + (0 if attempt % 2 else max(0, least - 6))
        text = _Text(random, extra).of(tree)
        if len(text) >= least and (most is None or len(text) <= most) and expression.fullmatch(text):
            return text
    return None


class _Text:
    """One attempt; `extra` is how often a repeated part comes beyond its least number."""

    def __init__(self, random: Random, extra: int) -> None:
        self._random = random
        self._extra = extra
        self._groups: dict[int, str] = {}

    def of(self, tree: Any) -> str:
        return "".join(self._part(kind, value) for kind, value in tree)

    def _part(self, kind: Any, value: Any) -> str:
        if kind is kinds.LITERAL:
            return chr(value)
        if kind in (kinds.IN, kinds.NOT_LITERAL, kinds.ANY):
            return self._one_of(kind, value)
        if kind is kinds.BRANCH:
            return self.of(self._random.choice(value[1]))
        if kind is kinds.SUBPATTERN:
            text = self.of(value[3])
            if value[0] is not None:
                self._groups[value[0]] = text
            return text
        if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT):
            least, most, inside = value
            times = self._random.randint(0, 1) if (least, most) == (0, 1) else min(int(most), least + self._extra)
            return "".join(self.of(inside) for _ in range(times))
        if kind is kinds.ATOMIC_GROUP:
            return self.of(value)
        if kind is kinds.GROUPREF:
            return self._groups.get(value, "")
        return ""  # a position or a look around: whether it holds, the whole match tells

    def _one_of(self, kind: Any, value: Any) -> str:
        offered = list(PREFERRED)
        self._random.shuffle(offered)
        if kind is kinds.ANY:
            return offered[0]
        if kind is kinds.NOT_LITERAL:
            return next(character for character in offered if ord(character) != value)
        negated = value[0][0] is kinds.NEGATE
        parts = value[1:] if negated else value
        for character in offered:
            if _holds(parts, character) != negated:
                return character
        low = next(
            part[1] if part[0] is kinds.LITERAL else part[1][0] for part in parts if part[0] is not kinds.CATEGORY
        )
        return chr(low)


def _holds(parts: Any, character: str) -> bool:
    for kind, value in parts:
        if kind is kinds.LITERAL and value == ord(character):
            return True
        if kind is kinds.RANGE and value[0] <= ord(character) <= value[1]:
            return True
        if kind is kinds.CATEGORY and _CATEGORIES[value](character):
            return True
    return False


_CATEGORIES = {
    kinds.CATEGORY_DIGIT: lambda c: c in "0123456789",
    kinds.CATEGORY_NOT_DIGIT: lambda c: c not in "0123456789",
    kinds.CATEGORY_SPACE: lambda c: c in " \t\n\r\f\v",
    kinds.CATEGORY_NOT_SPACE: lambda c: c not in " \t\n\r\f\v",
    kinds.CATEGORY_WORD: lambda c: c == "_" or (c.isascii() and c.isalnum()),
    kinds.CATEGORY_NOT_WORD: lambda c: not (c == "_" or (c.isascii() and c.isalnum())),
}
