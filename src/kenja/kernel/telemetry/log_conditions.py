"""What JSON and space-delimited filter patterns share: conditions on one value, joined by && and ||. Knows no events."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from kenja.kernel.telemetry.log_regex import Regex, RegexError

MAX_REGEXES = (
    2  # in one JSON or space-delimited pattern; "Filter pattern syntax" of the CloudWatch Logs user guide, quotas
)
_MAX_NESTING = 50  # parentheses within parentheses; deeper ones are a mistake
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_OPERATOR = re.compile(r"!=|>=|<=|=!|=|>|<")  # `=!` is how an example of the user guide writes `!=`
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_BARE = re.compile(r"[\w.*:/+-]+")
_REGEX = re.compile(r"%((?:[^%\\]|\\.)*)%")
_ENDS = re.compile(r"(?=\s|[)\]},]|&&|\|\||$)")

Subject = TypeVar("Subject")
Test = Callable[[Subject], bool]


class PatternError(ValueError):
    """The pattern can not be understood; the text says where and what to do."""


@dataclass(frozen=True)
class Value:
    """A value of an event: its text, and its number if it is one."""

    text: str
    number: float | None


def number(text: str) -> float | None:
    """The number that a text is."""
    return float(text) if _NUMBER.fullmatch(text) else None


@dataclass(frozen=True)
class Literal:
    """The right side of a condition. `*` at its ends stands for anything, within it for itself."""

    text: str
    regex: Regex | None = None

    def equals(self, value: Value) -> bool:
        """As = compares: numbers by their value, texts exactly."""
        if self.regex is not None:
            return self.regex.search(value.text)
        own = number(self.text)
        if own is not None and value.number is not None:
            return own == value.number
        core, before, behind = self.text, self.text.startswith("*"), len(self.text) > 1 and self.text.endswith("*")
        core = core[1 if before else 0 : len(core) - 1 if behind else len(core)]
        if before and (behind or not core):
            return core in value.text
        if before:
            return value.text.endswith(core)
        return value.text.startswith(core) if behind else value.text == core


class Reader:
    """Reads one pattern from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self._regexes = 0
        self._depth = 0

    def take(self, expected: str) -> bool:
        """Whether these characters come next; they are passed if so."""
        self.skip()
        if not self.text.startswith(expected, self.position):
            return False
        self.position += len(expected)
        return True

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What the pattern takes here; it is passed."""
        self.skip()
        found = pattern.match(self.text, self.position)
        if found is not None:
            self.position = found.end()
        return found

    def skip(self) -> None:
        """Pass blanks."""
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1

    def fail(self, wanted: str) -> PatternError:
        """The error that says what was wanted here."""
        rest = self.text[self.position : self.position + 20]
        return PatternError(f"Invalid filter pattern: {wanted} must stand at {rest or 'the end'!r}.")

    def expression(self, condition: Callable[[], Test[Subject]]) -> Test[Subject]:
        """Conditions joined by || and &&, which binds closer; `condition` reads one."""
        tests = [self._all(condition)]
        while self.take("||"):
            tests.append(self._all(condition))
        return tests[0] if len(tests) == 1 else lambda subject: any(test(subject) for test in tests)

    def comparison(self) -> Test[Value]:
        """`OPERATOR LITERAL`."""
        found = self.match(_OPERATOR)
        if found is None:
            raise self.fail("an operator (=, !=, <, <=, >, >=)")
        operator, literal = found[0], self._literal()
        if operator == "=":
            return literal.equals
        if operator in ("!=", "=!"):
            return lambda value: not literal.equals(value)
        bound = None if literal.regex else number(literal.text)
        if bound is None:
            raise PatternError(
                f"Invalid filter pattern: {operator} compares numbers, and {literal.text!r} is none; use = or !=."
            )
        return _ordered(operator, bound)

    def _all(self, condition: Callable[[], Test[Subject]]) -> Test[Subject]:
        tests = [self._unit(condition)]
        while self.take("&&"):
            tests.append(self._unit(condition))
        return tests[0] if len(tests) == 1 else lambda subject: all(test(subject) for test in tests)

    def _unit(self, condition: Callable[[], Test[Subject]]) -> Test[Subject]:
        if not self.take("("):
            return condition()
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise PatternError(f"Invalid filter pattern: parentheses are nested more than {_MAX_NESTING} deep.")
        found = self.expression(condition)
        if not self.take(")"):
            raise self.fail("a closing parenthesis")
        self._depth -= 1
        return found

    def _literal(self) -> Literal:
        if (quoted := self.match(_QUOTED)) is not None:
            literal = Literal(re.sub(r"\\(.)", r"\1", quoted[1]))
        elif (regex := self.match(_REGEX)) is not None:
            literal = Literal(regex[1], self._compiled(regex[1]))
        elif (bare := self.match(_BARE)) is not None:
            literal = Literal(bare[0])
        else:
            raise self.fail('a value (a word, "a quoted text" or a %regular expression%)')
        if not _ENDS.match(self.text, self.position):
            raise PatternError(
                f"Invalid character(s) in term '{literal.text}{self.text[self.position : self.position + 10]}'; put it in double quotes."
            )
        return literal

    def _compiled(self, text: str) -> Regex:
        self._regexes += 1
        if self._regexes > MAX_REGEXES:
            raise PatternError(f"Invalid filter pattern: it has more than {MAX_REGEXES} regular expressions.")
        try:
            return Regex(text)
        except RegexError as error:
            raise PatternError(f"Invalid filter pattern: {error}") from error


def _ordered(operator: str, bound: float) -> Test[Value]:
    def test(value: Value) -> bool:
        if value.number is None:
            return False
        match operator:
            case "<":
                return value.number < bound
            case "<=":
                return value.number <= bound
            case ">":
                return value.number > bound
            case _:
                return value.number >= bound

    return test
