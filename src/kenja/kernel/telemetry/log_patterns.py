"""CloudWatch's filter patterns: a pattern in, a predicate over messages out. Text here; JSON and fields in log_event_patterns.

Terms are case sensitive and found anywhere in a message. All plain terms must be there, none of the `-excluded` ones;
a pattern of `?optional` terms alone wants any of them, beside other terms those are ignored
("Filter pattern syntax" of the CloudWatch Logs user guide).
"""

from __future__ import annotations

import re
from functools import lru_cache

from kenja.kernel.telemetry.log_conditions import PatternError
from kenja.kernel.telemetry.log_event_patterns import Predicate, field_pattern, json_pattern
from kenja.kernel.telemetry.log_regex import Regex, RegexError

__all__ = ["PatternError", "Predicate", "compile_pattern"]
_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)')
_BARE = re.compile(r"\w+")  # anything else has to stand in double quotes


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Predicate:
    """The predicate of a filter pattern; an empty one matches everything. Raises PatternError."""
    text = pattern.strip()
    if not text or text == '""':
        return lambda message: True
    if text[0] == "{":
        return json_pattern(text)
    if text[0] == "[":
        return field_pattern(text)
    if text[0] == "%":
        return _regex(text)
    terms = _terms(text)
    wanted = [term for sign, term in terms if sign == ""]
    excluded = [term for sign, term in terms if sign == "-"]
    optional = [term for sign, term in terms if sign == "?"]
    if optional and not wanted and not excluded:
        return lambda message: any(term in message for term in optional)
    return lambda message: all(term in message for term in wanted) and not any(term in message for term in excluded)


def _regex(text: str) -> Predicate:
    if len(text) < 3 or not text.endswith("%"):
        raise PatternError("Invalid filter pattern: a regular expression must stand alone, between two % signs.")
    try:
        return Regex(text[1:-1]).search
    except RegexError as error:
        raise PatternError(f"Invalid filter pattern: {error}") from error


def _terms(text: str) -> list[tuple[str, str]]:
    terms, position = [], 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise PatternError(
                f"Invalid filter pattern: no term can be read at {text[position : position + 20]!r}; close every quote."
            )
        sign, quoted, bare = match.groups()
        if bare is not None and not _BARE.fullmatch(bare):
            raise PatternError(f"Invalid character(s) in term '{bare}'; put it in double quotes.")
        terms.append((sign, bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)))
        position = match.end()
    return terms
