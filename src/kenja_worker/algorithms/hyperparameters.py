"""Typed hyper-parameter tables and the reading of AWS's string values. It knows no algorithm and loads no library."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kenja_worker.algorithms.errors import ClientError

Values = Mapping[str, Any]
Reader = Callable[[str], Any]  # raises ValueError with what is allowed


@dataclass(frozen=True)
class Hyperparameter:
    """One entry. `read` turns AWS's string into the value; `later` and `gone` say why a value is not acted upon.

    `later`: the name exists at AWS but is left for later; any value but those in `harmless` is refused.
    `gone`: today's library no longer has it; the value is checked, then dropped, and the sentence becomes a note.
    """

    name: str
    read: Reader
    aliases: tuple[str, ...] = ()
    default: str = ""
    required: bool = False
    later: str = ""
    harmless: tuple[str, ...] = ()
    gone: str = ""


@dataclass(frozen=True)
class Parsed:
    """Values by AWS's own name, and sentences that the job's log must show."""

    values: Values
    notes: tuple[str, ...]


@dataclass(frozen=True)
class HyperparameterTable:
    """All hyper-parameters of one algorithm. `check` sees the parsed values and returns what is wrong between them."""

    entries: tuple[Hyperparameter, ...]
    check: Callable[[Values], str | None] = lambda values: None

    def parse(self, given: Mapping[str, str]) -> Parsed:
        """Read all values. Raises ClientError with one sentence that names the first offender."""
        by_name = {name: entry for entry in self.entries for name in (entry.name, *entry.aliases)}
        values: dict[str, Any] = {}
        spelt: dict[str, str] = {}
        notes: list[str] = []
        for name, raw in given.items():
            entry = by_name.get(name)
            if entry is None:
                raise ClientError(self._unknown(name, by_name))
            if entry.name in spelt:
                raise ClientError(f"Hyperparameters '{spelt[entry.name]}' and '{name}' are two names of one; give one.")
            spelt[entry.name] = name
            self._accept(entry, name, _plain(raw), values, notes)
        for entry in self.entries:
            if entry.required and entry.name not in values:
                raise ClientError(f"Missing required hyperparameter: {entry.name}.")
        wrong = self.check(values)
        if wrong:
            raise ClientError(wrong)
        return Parsed(values, tuple(notes))

    def _accept(
        self,
        entry: Hyperparameter,
        name: str,
        raw: str,
        values: dict[str, Any],
        notes: list[str],
    ) -> None:
        if entry.later and raw not in entry.harmless:
            raise ClientError(f"Hyperparameter '{name}' is not supported yet: {entry.later}.")
        try:
            value = entry.read(raw)
        except ValueError as allowed:
            raise ClientError(f"Hyperparameter '{name}' has the value '{raw}'; allowed: {allowed}.") from None
        if entry.gone:
            notes.append(f"Hyperparameter '{name}' has no effect: {entry.gone}.")
        elif not entry.later:
            values[entry.name] = value

    @staticmethod
    def _unknown(name: str, known: Mapping[str, Hyperparameter]) -> str:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        return f"Extraneous hyperparameter found: '{name}' is not a hyperparameter of this algorithm.{hint}"


def _plain(raw: str) -> str:
    """The SDK sends some values JSON-encoded: "\"adam\"" is adam."""
    text = raw.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            decoded = json.loads(text)
        except ValueError:
            return text
        return decoded if isinstance(decoded, str) else text
    return text


def integer(minimum: int | None = None, maximum: int | None = None) -> Reader:
    """A whole number within closed bounds."""
    allowed = f"an integer{_range(minimum, maximum)}"

    def read(raw: str) -> int:
        try:
            value = int(raw)
        except ValueError:
            raise ValueError(allowed) from None
        if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
            raise ValueError(allowed)
        return value

    return read


def number(
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> Reader:
    """A finite float within bounds; `minimum` and `maximum` are allowed values, `above` and `below` are not."""
    allowed = f"a number{_range(minimum, maximum)}"
    if above is not None:
        allowed += f", greater than {above:g}"
    if below is not None:
        allowed += f", less than {below:g}"

    def read(raw: str) -> float:
        try:
            value = float(raw)
        except ValueError:
            raise ValueError(allowed) from None
        within = (minimum is None or value >= minimum) and (maximum is None or value <= maximum)
        within = within and (above is None or value > above) and (below is None or value < below)
        if not (within and math.isfinite(value)):
            raise ValueError(allowed)
        return value

    return read


def choice(*choices: str) -> Reader:
    """One of the words."""

    def read(raw: str) -> str:
        if raw not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return raw

    return read


def boolean(raw: str) -> bool:
    """true or false, in any case, as the SDK writes Python's True as "True"."""
    word = raw.lower()
    if word not in ("true", "false"):
        raise ValueError("true or false")
    return word == "true"


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is not None and maximum is not None:
        return f" from {minimum:g} to {maximum:g}"
    if minimum is not None:
        return f" of at least {minimum:g}"
    return f" of at most {maximum:g}" if maximum is not None else ""
