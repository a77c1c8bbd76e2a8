"""CloudWatch's filter patterns for text: a pattern in, a predicate over messages out. No JSON or space-delimited patterns yet.

Terms are case sensitive and found anywhere in a message. All plain terms must be there, none of the `-excluded` ones;
a pattern of `?optional` terms alone wants any of them, beside other terms those are ignored
("Filter pattern syntax" of the CloudWatch Logs user guide).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

Predicate = Callable[[str], bool]
_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)')
_BARE = re.compile(r"\w+")  # anything else has to stand in double quotes
_LATER = {"{": "JSON patterns", "[": "space-delimited patterns", "%": "regular expressions"}


class PatternError(ValueError):
    """The pattern can not be understood, or not yet; the text says which and what to do."""


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Predicate:
    """The predicate of a filter pattern; an empty one matches everything. Raises PatternError."""
    text = pattern.strip()
    if not text or text == '""':
        return lambda message: True
    if (kind := _LATER.get(text[0])) is not None:
        raise PatternError(f'Invalid filter pattern: {kind} are not served yet; use terms such as ERROR -"timed out".')
    terms = _terms(text)
    wanted = [term for sign, term in terms if sign == ""]
    excluded = [term for sign, term in terms if sign == "-"]
    optional = [term for sign, term in terms if sign == "?"]
    if optional and not wanted and not excluded:
        return lambda message: any(term in message for term in optional)
    return lambda message: all(term in message for term in wanted) and not any(term in message for term in excluded)


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
