"""CloudWatch's filter patterns against the examples of its user guide, and the regular expressions against Python's own."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kenja.kernel.telemetry.log_patterns import PatternError, compile_pattern
from kenja.kernel.telemetry.log_regex import Regex

TRAIL = json.dumps(
    {
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"],
        "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": None,
        "ThisFlag": True,
    }
)  # the events of "Filter pattern syntax", CloudWatch Logs user guide
PEOPLE = json.dumps(
    {
        "user": {"id": 1, "email": "John.Stiles@example.com"},
        "users": [{"id": 2, "email": "John.Doe@example.com"}, {"id": 3, "email": "Jane.Doe@example.com"}],
        "actions": ["GET", "PUT", "DELETE"],
        "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]],
    }
)
REQUESTS = [
    '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 200 1534',
    '127.0.0.1 - frank [10/Oct/2000:13:35:22 -0700] "GET /index.html HTTP/1.0" 404 5324',
    '127.0.0.1 - frank [10/Oct/2000:13:50:35 -0700] "GET /apache_pb.gif HTTP/1.0" 500 4355',
]


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("", ["anything"], []),
        ("ERROR", ["an ERROR here", "ERRORS"], ["error", "warn"]),
        ("ERROR timeout", ["timeout ERROR"], ["ERROR", "timeout"]),
        ('"two words"', ["say two words"], ["two  words"]),
        ("ERROR -expected", ["ERROR"], ["expected ERROR", "fine"]),
        ("?ERROR ?WARN", ["WARN", "ERROR"], ["info"]),
        ("REQUEST ?ERROR", ["REQUEST"], ["ERROR"]),
        ('-"a b"', ["a  b"], ["xa bx"]),
        (r'"say \"hi\""', ['they say "hi"'], ["they say hi"]),
        ("%AUTHORIZED%", ["[ERROR 401] UNAUTHORIZED REQUEST", "[SUCCESS 200] AUTHORIZED REQUEST"], ["authorized"]),
        (r"%10\.10\.0\.1%", ["10.10.0.1"], ["10.10.0x1", "10x10.0.1"]),
        ("%^ERROR%", ["ERROR here"], ["an ERROR"]),
        ("%end$%", ["the end"], ["the end?"]),
        ("%colou?r|gr[ae]y%", ["color", "colour", "gray", "grey"], ["colouur", "griy"]),
        (r"%\d{3}-[^a-c]+x%", ["call 123-dddx"], ["12-ddx", "123-abcx"]),
    ],
)
def test_text_patterns_match_as_documented(pattern: str, matching: list[str], others: list[str]) -> None:
    matches = compile_pattern(pattern)
    assert all(matches(message) for message in matching)
    assert not any(matches(message) for message in others)


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        ('{ $.eventType = "UpdateTrail" }', TRAIL, True),
        ("{ $.eventType = UpdateTrail }", TRAIL, True),
        ("{$.eventType=*Trail}", TRAIL, True),
        ('{ $.eventType = "Update*" }', TRAIL, True),
        ("{ $.eventType = Upd*Trail }", TRAIL, False),  # an asterisk within a word is itself
        ("{ $.eventType = %Trail% }", TRAIL, True),
        ("{ $.eventType = %^Trail% }", TRAIL, False),
        ("{ $.sourceIPAddress != 123.123.* }", TRAIL, True),
        ("{ $.sourceIPAddress != 111.111.* }", TRAIL, False),
        ('{ $.arrayKey[0] = "value" }', TRAIL, True),
        ('{ $.arrayKey[2] = "value" }', TRAIL, False),
        ('{ $.eventType[0] = "U" }', TRAIL, False),
        ("{ $.objectList[1].id = 2 }", TRAIL, True),
        ("{ $.objectList[0].id = 2 }", TRAIL, False),
        ("{ $.SomeObject IS NULL }", TRAIL, True),
        ("{ $.eventType IS NULL }", TRAIL, False),
        ("{ $.SomeOtherObject IS NULL }", TRAIL, False),
        ("{ $.SomeOtherObject NOT EXISTS }", TRAIL, True),
        ("{ $.SomeObject NOT EXISTS }", TRAIL, False),
        ("{ $.ThisFlag IS TRUE }", TRAIL, True),
        ("{ $.ThisFlag IS FALSE }", TRAIL, False),
        ('{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }', PEOPLE, True),
        ('{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }', PEOPLE, False),
        (
            '{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch && $.actions[2] = nomatch }',
            PEOPLE,
            True,
        ),
        (
            '{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch) && $.actions[2] = nomatch }',
            PEOPLE,
            False,
        ),
        ("{ $.users = 1 }", '{"users": [1, 2, 3]}', False),
        ("{ $.users != 1 }", '{"users": [1, 2, 3]}', False),
        ("{ $.users != 1 }", "{}", False),
        ("{ $.latency >= 500 }", '{"latency": 500}', True),
        ("{ $.latency > 500 }", '{"latency": 500}', False),
        ("{ $.latency > +1000 }", '{"latency": 1000.5}', True),
        ("{ $.numbers[0] < 10e-3 }", '{"numbers": [0.009]}', True),
        ("{ $.numbers[0] < 10e-3 }", '{"numbers": [0.011]}', False),
        ("{ $.code != 500 }", '{"code": 400}', True),
        ("{ $.code = 4.0e2 }", '{"code": 400}', True),
        ("{ $.latency = * }", '{"latency": 12}', True),
        ("{ $.latency = * }", '{"other": 12}', False),
        ("{ $.a < 5 }", '{"a": "four"}', False),
        ("{ $.a = 1 }", "plain text", False),
        ("{ $.a = 1 }", '{"a": 1', False),
        ("{ $.a = 1 }", "[1]", False),
        ("{ $.with-dash_and9 = x }", '{"with-dash_and9": "x"}', True),
    ],
)
def test_json_patterns_match_as_documented(pattern: str, event: str, expected: bool) -> None:
    assert compile_pattern(pattern)(event) is expected


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("[ip, id, user, timestamp, request, status_code, bytes]", [0, 1, 2]),
        ("[ip, id, user, timestamp, request, status_code]", []),
        ("[ip, id, user, timestamp, request, status_code, bytes > 1534]", [1, 2]),
        ("[ip, id, user, timestamp, request, status_code = 200, bytes]", [0]),
        ("[ip, id, user, timestamp, request = *html*, status_code = 4*, bytes]", [1]),
        ("[ip, id, user, timestamp, request, status_code = 4* && bytes > 9000, bytes2]", None),
        ("[ip, id, user, timestamp, request, status_code != 4* && status_code != 500, bytes]", [0]),
        ("[ip, id, user, timestamp, request, status_code = 404 || status_code = 500, bytes]", [1, 2]),
        ("[..., request=*.html*, status_code=4*,]", [1]),
        ("[..., status_code, bytes >= 4355]", [1, 2]),
        ("[ip, user, ..., status_code = %[45]0[04]%, bytes]", [1, 2]),
        ("[ip = 127.0.0.1, ...]", [0, 1, 2]),
        ("[ip, user, ..., a, b, c, d, e, f, g]", []),
        ("[...]", [0, 1, 2]),
        ('[ip, id, user, timestamp = "10/Oct/2000:13:35*", ...]', [1]),
        ("[ip, id, user != frank, ...]", []),
    ],
)
def test_space_delimited_patterns_match_as_documented(pattern: str, found: list[int] | None) -> None:
    if found is None:
        with pytest.raises(PatternError):
            compile_pattern(pattern)
    else:
        matches = compile_pattern(pattern)
        assert [number for number, event in enumerate(REQUESTS) if matches(event)] == found


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ('"open', "close every quote"),
        ("a.b", "Invalid character(s) in term 'a.b'"),
        ('x"y"', "no term can be read"),
        ("-", "Invalid character(s) in term"),
        ("?", "Invalid character(s) in term"),
        ("{ $.a = 1", "closing brace"),
        ("{ $.a = 1 } more", "nothing behind it"),
        ("{ }", "a selector"),
        ("{ a = 1 }", "a selector"),
        ("{ $.a }", "an operator"),
        ("{ $.a = }", "a value"),
        ("{ $.a = x@y }", "Invalid character(s) in term 'x@y"),
        ("{ $.a > x }", "compares numbers"),
        ("{ ($.a = 1 }", "closing parenthesis"),
        ("{ $.a = 1 && }", "a selector"),
        ("{ $.a IS MAYBE }", "an operator"),
        ("{ " + "(" * 60 + "$.a = 1" + ")" * 60 + " }", "nested more than 50"),
        ("{ $.a = %x% || $.a = %y% || $.a = %z% }", "more than 2 regular expressions"),
        ("[a, b", "a comma or the closing bracket"),
        ("[a] b", "nothing behind"),
        ("[a b]", "an operator"),
        ("[a, ..., b, ...]", "more than one ellipsis"),
        ("[a, = 4]", "the name of a field"),
        ("[a, b = 1 && c = 2]", "the conditions of one field name b and c"),
        ("[a > x]", "compares numbers"),
        ("%", "must stand alone"),
        ("%a% ERROR", "must stand alone"),
        ("%something!%", "can not stand"),
        ("%(a)%", "( and ) are not supported"),
        ("%[b-a]%", "ends before it begins"),
        ("%a{3,2}%", "ends before it begins"),
        ("%a{999}b{999}%", "more than 1000 characters"),
        ("%*a%", "can not stand"),
        (r"%\q%", "a backslash may stand before"),
        ("%é%", "can not stand"),
    ],
)
def test_patterns_that_are_not_understood_are_refused_with_the_place(pattern: str, told: str) -> None:
    with pytest.raises(PatternError, match=re.escape(told)):
        compile_pattern(pattern)


ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^b]", r"\d", "1", r"\.", "[a-c1]", r"\w", r"\S"])
REPEATS = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{1,3}", "{2,}"])
BRANCHES = st.lists(st.tuples(ATOMS, REPEATS).map("".join), max_size=4).map("".join)
EXPRESSIONS = st.tuples(
    st.sampled_from(["", "^"]), BRANCHES, st.sampled_from(["", "", "$"]), st.sampled_from(["", "|ba+1"])
).map("".join)


@given(EXPRESSIONS, st.text("ab1. é", max_size=12))
def test_regular_expressions_find_what_pythons_own_engine_finds(expression: str, text: str) -> None:
    own = re.search(expression.replace("$", r"\Z"), text, re.ASCII | re.DOTALL)
    assert Regex(expression).search(text) is (own is not None)


@pytest.mark.parametrize(
    ("pattern", "event"),
    [
        ("%a*a*a*a*a*a*b%", "a" * 100_000),
        ("%" + "a?" * 40 + "a" * 40 + "b%", "a" * 39),
        ("[a, b = 1]", "[ " * 100_000),
        ("[a, b = 1]", '" \\' * 100_000),
        ("{ $.a = 1 }", "[" * 100_000),
    ],
)
def test_no_pattern_takes_more_time_than_the_length_of_the_event(pattern: str, event: str) -> None:
    matches = compile_pattern(pattern)
    started = time.process_time()
    assert not matches(event)
    assert time.process_time() - started < 10  # seconds; a search that goes back would take hours
