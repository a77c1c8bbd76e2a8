"""The regular expressions of CloudWatch's filter patterns (between % signs): one pass over a text, whatever the expression. No groups.

Python's own engine would take exponential time for some expressions that fit into a filter pattern; a state machine never does.
Syntax: "Supported regular expressions (regex) syntax", CloudWatch Logs user guide.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

MAX_STEPS = 1000  # characters that one expression can look for, its repetitions written out
_MAX_STATES = 5000  # of a machine, before what it learned is forgotten
_OTHER = "\x80"  # stands for every character that is not ASCII: an expression can name none of them
_PLAIN = frozenset(string.ascii_letters + string.digits + "_#=@/;,:-")
_CLASSES = {"d": string.digits, "w": string.ascii_letters + string.digits + "_", "s": " \t\n\r\f\v"}
_ATOM = re.compile(r"\.|\\x[0-9A-Fa-f]{2}|\\.|\[\^?(?:\\.|[^\]\\])+\]|.", re.DOTALL)
_REPEAT = re.compile(r"[*+?]|\{(\d{1,3})(,(\d{0,3}))?\}")


class RegexError(ValueError):
    """The expression can not be understood; the text says where."""


@dataclass(frozen=True)
class _Step:
    """One character that is looked for. `optional`: may be left out; `again`: may come any number of times."""

    accepts: Callable[[str], bool]
    optional: bool = False
    again: bool = False


@dataclass(frozen=True)
class _Branch:
    """One side of a |."""

    steps: tuple[_Step, ...]
    from_start: bool
    to_end: bool


@dataclass(slots=True, eq=False)
class _State:
    """Where in its branches a search may be; `after` is learned character by character."""

    places: frozenset[tuple[int, int]]
    found: bool  # whatever follows
    found_at_end: bool
    after: dict[str, _State] = field(default_factory=dict)


class Regex:
    """A compiled expression. Raises RegexError. Safe for threads."""

    def __init__(self, text: str) -> None:
        self._branches = tuple(_branch(part, text) for part in _split(text))
        if sum(len(branch.steps) for branch in self._branches) > MAX_STEPS:
            raise RegexError(f"%{text}% looks for more than {MAX_STEPS} characters; shorten its repetitions.")
        self._states: dict[frozenset[tuple[int, int]], _State] = {}
        self._entries = frozenset((number, 0) for number, branch in enumerate(self._branches) if not branch.from_start)

    def search(self, text: str) -> bool:
        """Whether it is found anywhere in a text."""
        state = self._state((number, 0) for number in range(len(self._branches)))
        if state.found:
            return True
        for character in text:
            key = character if character < _OTHER else _OTHER
            following = state.after.get(key)
            if following is None:
                following = state.after[key] = self._follow(state, key)
            if following.found:
                return True
            state = following
        return state.found_at_end

    def _follow(self, state: _State, character: str) -> _State:
        reached = set(self._entries)
        for number, place in state.places:
            steps = self._branches[number].steps
            if place < len(steps) and steps[place].accepts(character):
                reached.add((number, place + 1))
                if steps[place].again:
                    reached.add((number, place))
        return self._state(reached)

    def _state(self, places: Iterable[tuple[int, int]]) -> _State:
        """The state of these places and of those that optional steps lead to."""
        reached: set[tuple[int, int]] = set()
        for number, first in places:
            place, steps = first, self._branches[number].steps
            reached.add((number, place))
            while place < len(steps) and steps[place].optional:
                place += 1
                reached.add((number, place))
        key = frozenset(reached)
        known = self._states.get(key)
        if known is not None:
            return known
        if len(self._states) >= _MAX_STATES:
            self._states = {}
        ended = [self._branches[number] for number, place in key if place == len(self._branches[number].steps)]
        made = _State(key, any(not branch.to_end for branch in ended), bool(ended))
        self._states[key] = made
        return made


def _split(text: str) -> list[str]:
    """The sides of every | outside brackets. Raises RegexError."""
    parts, current = [], ""
    for atom in _ATOM.findall(text):
        if atom == "|":
            parts.append(current)
            current = ""
        else:
            current += atom
    return [*parts, current]


def _branch(text: str, whole: str) -> _Branch:
    from_start, to_end = text.startswith("^"), text.endswith("$") and not text.endswith("\\$")
    body = text[1 if from_start else 0 : len(text) - 1 if to_end else len(text)]
    steps: list[_Step] = []
    position = 0
    while position < len(body):
        atom = _ATOM.match(body, position)
        assert atom is not None  # it takes any character
        accepts = _atom(atom[0], whole)
        position = atom.end()
        repeat = _REPEAT.match(body, position)
        if repeat is None:
            steps.append(_Step(accepts))
            continue
        position = repeat.end()
        steps += _repeated(accepts, repeat, whole)
    return _Branch(tuple(steps), from_start, to_end)


def _repeated(accepts: Callable[[str], bool], repeat: re.Match[str], whole: str) -> list[_Step]:
    once, loop = _Step(accepts), _Step(accepts, optional=True, again=True)
    match repeat[0]:
        case "?":
            return [_Step(accepts, optional=True)]
        case "*":
            return [loop]
        case "+":
            return [once, loop]
    least, most = int(repeat[1]), repeat[3]
    if repeat[2] is None:
        return [once] * least
    if not most:
        return [*[once] * least, loop]
    if int(most) < least:
        raise RegexError(f"%{whole}% has the repetition {repeat[0]}, which ends before it begins.")
    return [*[once] * least, *[_Step(accepts, optional=True)] * (int(most) - least)]


def _atom(text: str, whole: str) -> Callable[[str], bool]:
    if text == ".":
        return lambda _character: True
    if text[0] == "[" and len(text) > 1:
        return _set(text, whole)
    if text[0] == "\\" and len(text) > 1:
        named = _escaped(text, whole)
        return lambda character: character in named
    if text not in _PLAIN:
        raise RegexError(
            f"%{whole}% has {text!r} at a place where it can not stand. Allowed are letters, digits, _#=@/;,:- and the operators "
            "^ $ ? [ ] { } | \\ * + and the dot; put a backslash before a sign that means itself. ( and ) are not supported."
        )
    return lambda character: character == text


def _set(text: str, whole: str) -> Callable[[str], bool]:
    """[a-z_] or [^a-z_]."""
    negated = text.startswith("[^")
    members: set[str] = set()
    parts = re.findall(r"\\x[0-9A-Fa-f]{2}|\\.|.", text[2 if negated else 1 : -1], re.DOTALL)
    while parts:
        first = parts.pop(0)
        if len(parts) >= 2 and parts[0] == "-":
            low, high = _single(first, whole), _single(parts[1], whole)
            if low > high:
                raise RegexError(f"%{whole}% has the range {first}-{parts[1]}, which ends before it begins.")
            members |= {chr(code) for code in range(ord(low), ord(high) + 1)}
            del parts[:2]
        else:
            members |= _escaped(first, whole) if first[0] == "\\" else {_single(first, whole)}
    return lambda character: (character in members) is not negated


def _single(text: str, whole: str) -> str:
    found = _escaped(text, whole) if text[0] == "\\" else frozenset(text)
    if len(found) != 1 or not text.isascii():
        raise RegexError(f"%{whole}%: {text!r} can not stand there; only ASCII characters can be named.")
    return next(iter(found))


def _escaped(text: str, whole: str) -> frozenset[str]:
    letter = text[1]
    if letter == "x" and len(text) == 4:
        return frozenset(chr(int(text[2:], 16)))
    if letter in _CLASSES:
        return frozenset(_CLASSES[letter])
    if letter.lower() in _CLASSES:
        every = {chr(code) for code in range(128)} | {_OTHER}
        return frozenset(every - set(_CLASSES[letter.lower()]))
    if letter in string.punctuation or letter == " ":
        return frozenset(letter)
    raise RegexError(f"%{whole}% has {text!r}; a backslash may stand before d, D, s, S, w, W, xHH or a sign.")
