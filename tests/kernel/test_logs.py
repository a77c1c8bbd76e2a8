"""The log store on both databases: readers beside writers, writers that die, pages, searches."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kenja.core.clock import Clock
from kenja.kernel.telemetry import segments
from kenja.kernel.telemetry.log_search import PAGE_BYTES, Search, TokenError
from kenja.kernel.telemetry.logs import Group, Logs, Stream

WORLD = ("000000000000", "us-east-1")
GROUP = "/aws/sagemaker/TrainingJobs"
NOON = 1_700_000_000_000  # ms


@pytest.fixture
def logs(database_url: str, tmp_path: Path) -> Iterator[Logs]:
    store = Logs(tmp_path / "telemetry", database_url, Clock())
    yield store
    store.close()


def found(logs: Logs, stream: str = "s", group: str = GROUP) -> tuple[Group, Stream]:
    owner = logs.group(*WORLD, group)
    assert owner is not None
    result = logs.stream(owner, stream)
    assert result is not None
    return owner, result


def fill(logs: Logs, count: int, stream: str = "s", first: int = NOON, step: int = 1000) -> list[tuple[int, str]]:
    events = [(first + number * step, f"line {number} of {stream}") for number in range(count)]
    logs.append(*WORLD, GROUP, stream, events)
    return events


def forward_pages(logs: Logs, stream: Stream, limit: int) -> list[tuple[int, str]]:
    events: list[tuple[int, str]] = []
    page = logs.read(stream, from_head=True, limit=limit)
    while page.events:
        events += page.events
        page = logs.read(stream, token=page.forward, limit=limit)
    return events


def test_open_stream_is_idempotent_and_its_file_is_read_live(logs: Logs) -> None:
    path = logs.open_stream(*WORLD, GROUP, "job/algo-1")
    assert logs.open_stream(*WORLD, GROUP, "job/algo-1") == path
    _, stream = found(logs, "job/algo-1")
    assert (stream.first_event, stream.last_event, stream.stored_bytes) == (None, None, 0)
    head = logs.read(stream, from_head=True)
    with path.open("a") as file:  # as a shim does
        file.write(json.dumps([NOON, 'first "quoted"\nline 日本']) + "\n")
    page = logs.read(stream, token=head.forward)
    assert page.events == [(NOON, 'first "quoted"\nline 日本')]
    assert found(logs, "job/algo-1")[1].last_event == NOON


def test_accounts_and_regions_are_separate(logs: Logs) -> None:
    fill(logs, 1)
    assert logs.group("111111111111", WORLD[1], GROUP) is None
    assert logs.group(WORLD[0], "eu-west-1", GROUP) is None
    assert logs.groups("111111111111", WORLD[1], 10) == []


def test_forward_pages_have_every_event_once_and_the_last_token_stays(logs: Logs) -> None:
    events = fill(logs, 257)
    _, stream = found(logs)
    assert forward_pages(logs, stream, limit=10) == events
    last = logs.read(stream, from_head=True)
    assert logs.read(stream, token=last.forward).forward == last.forward
    more = [(NOON + 10_000_000, "late")]
    logs.append(*WORLD, GROUP, "s", more)
    assert logs.read(stream, token=last.forward).events == more


def test_backward_pages_begin_with_the_newest_and_the_first_token_stays(logs: Logs) -> None:
    events = fill(logs, 57)
    _, stream = found(logs)
    page = logs.read(stream, limit=10)
    assert page.events == events[-10:]
    collected = list(page.events)
    while page.events:
        page = logs.read(stream, token=page.backward, limit=10)
        collected = page.events + collected
    assert collected == events
    assert logs.read(stream, token=page.backward).backward == page.backward


def test_both_tokens_of_a_page_lead_to_its_neighbours(logs: Logs) -> None:
    events = fill(logs, 30)
    _, stream = found(logs)
    middle = logs.read(stream, token=logs.read(stream, from_head=True, limit=10).forward, limit=10)
    assert logs.read(stream, token=middle.backward).events == events[:10]
    assert logs.read(stream, token=middle.forward).events == events[20:]


@pytest.mark.parametrize("from_head", [True, False])
def test_times_bound_a_page_start_inclusive_end_exclusive(logs: Logs, from_head: bool) -> None:
    events = fill(logs, 5_000)  # enough bytes for the search by halves
    _, stream = found(logs)
    page = logs.read(stream, from_head=from_head, start=events[4_000][0], end=events[4_010][0])
    assert page.events == events[4_000:4_010]


def test_a_page_holds_at_most_a_megabyte_but_at_least_one_event(logs: Logs) -> None:
    logs.append(*WORLD, GROUP, "s", [(NOON + n, "x" * 200_000) for n in range(12)])
    _, stream = found(logs)
    page = logs.read(stream, from_head=True)
    assert len(page.events) == 5
    assert sum(len(event.message) + 26 for event in page.events) <= PAGE_BYTES
    assert len(forward_pages(logs, stream, limit=10_000)) == 12


def test_a_message_beyond_the_limit_is_refused_by_the_writer(logs: Logs) -> None:
    with pytest.raises(ValueError, match="split it"):
        logs.append(*WORLD, GROUP, "s", [(NOON, "x" * (segments.MAX_MESSAGE + 1))])


@pytest.mark.parametrize("token", ["", "f/0/s", "f/" + "9" * 56 + "/s", "x" * 60, "b/" + "0" * 56 + "/s"])
def test_a_token_of_nobody_is_refused(logs: Logs, token: str) -> None:
    fill(logs, 3)
    with pytest.raises(TokenError):
        logs.read(found(logs)[1], token=token)


def test_a_token_of_another_stream_or_between_lines_is_refused(logs: Logs) -> None:
    fill(logs, 3)
    fill(logs, 3, "other")
    token = logs.read(found(logs)[1]).forward
    with pytest.raises(TokenError):
        logs.read(found(logs, "other")[1], token=token)
    with pytest.raises(TokenError):
        logs.read(found(logs)[1], token=token.replace("/s", "").replace("f/", "f/")[:-1] + "7/s")


def test_a_torn_line_is_never_shown_and_swallows_nothing(logs: Logs) -> None:
    events = fill(logs, 3)
    _, stream = found(logs)
    with stream.path.open("ab") as file:
        file.write(b'[1700000009999,"half of a me')
    assert logs.read(stream, from_head=True).events == events
    assert found(logs)[1].last_event == events[-1][0]
    with stream.path.open("ab") as file:  # a writer that does not mend, as one that was running all the time
        file.write(b'[1700000010000,"next"]\n')
    assert logs.read(stream, from_head=True).events == [*events, (1_700_000_010_000, "next")]
    with stream.path.open("ab") as file:
        file.write(b"[17000000")
    logs.append(*WORLD, GROUP, "s", [(1_700_000_011_000, "after")])
    assert logs.read(stream, from_head=True).events[-1] == (1_700_000_011_000, "after")
    assert logs.read(stream, limit=2).events == logs.read(stream, from_head=True).events[-2:]


@pytest.mark.parametrize(
    "line",
    [b"", b"nonsense", b"[]", b'["a","b"]', b"[1]", b"[1,2]", b'{"a":1}', b'[true,"x"]', b'[1.5,"x"]', b"\xff\xfe"],
)
def test_lines_that_say_nothing_are_passed_over(logs: Logs, line: bytes) -> None:
    path = logs.open_stream(*WORLD, GROUP, "s")
    path.write_bytes(b'[1,"a"]\n' + line + b'\n[2,"b"]\n')
    assert logs.read(found(logs)[1], from_head=True).events == [(1, "a"), (2, "b")]
    assert logs.read(found(logs)[1]).events == [(1, "a"), (2, "b")]


def test_bytes_that_are_no_text_become_readable(logs: Logs) -> None:
    path = logs.open_stream(*WORLD, GROUP, "s")
    path.write_bytes(b'[1,"caf\xe9"]\n' + json.dumps([2, "lone \udce9"]).encode() + b"\n")
    assert [event.message for event in logs.read(found(logs)[1], from_head=True).events] == ["caf\ufffd", "lone ?"]


def test_a_gigantic_line_is_passed_over_from_both_sides(logs: Logs) -> None:
    path = logs.open_stream(*WORLD, GROUP, "s")
    path.write_bytes(b'[1,"a"]\n[2,"' + b"x" * (segments.MAX_LINE + 300_000) + b'"]\n[3,"b"]\n')
    _, stream = found(logs)
    assert [event.message for event in logs.read(stream, from_head=True).events] == ["a", "b"]
    assert [event.message for event in logs.read(stream).events] == ["a", "b"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.text(min_size=1, max_size=40), max_size=60), limit=st.integers(1, 9))
def test_any_text_comes_back_in_both_directions(tmp_path: Path, messages: list[str], limit: int) -> None:
    path = tmp_path / f"{os.urandom(8).hex()}.log"
    segments.append(path, list(enumerate(messages)))
    stop = segments.end(path)
    whole = [(at, behind, segments.parse(line)) for at, behind, line in segments.forward(path, 0, stop)]
    assert [event for _, _, event in whole] == list(enumerate(messages))
    for at, behind, event in whole[:limit]:
        assert next(segments.parse(line) for _, _, line in segments.forward(path, at, stop)) == event
        assert next(segments.parse(line) for _, _, line in segments.backward(path, behind)) == event
    assert [(a, b, segments.parse(line)) for a, b, line in segments.backward(path, stop)] == whole[::-1]


def _write(data: Path, url: str, stream: str, count: int) -> None:
    store = Logs(data, url, Clock())
    for number in range(count):
        store.append(*WORLD, GROUP, stream, [(NOON + number, f"{os.getpid()} {number}")])
    store.close()


def test_several_processes_make_and_write_one_stream(logs: Logs, database_url: str, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    arguments = (tmp_path / "telemetry", database_url, "s", 50)
    writers = [spawn.Process(target=_write, args=arguments) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    messages = [event.message for event in logs.read(found(logs)[1], from_head=True).events]
    assert len(messages) == len(set(messages)) == 100


def test_a_killed_writer_leaves_whole_lines_and_the_next_one_goes_on(
    logs: Logs, database_url: str, tmp_path: Path
) -> None:
    path = logs.open_stream(*WORLD, GROUP, "s")
    spawn = multiprocessing.get_context("spawn")
    writer = spawn.Process(target=_write, args=(tmp_path / "telemetry", database_url, "s", 1_000_000))
    writer.start()
    while segments.size(path) < 2_000:
        assert writer.is_alive()
    writer.kill()
    writer.join(60)
    before = [event.timestamp for event in logs.read(found(logs)[1], from_head=True).events]
    assert before == list(range(NOON, NOON + len(before)))
    logs.append(*WORLD, GROUP, "s", [(NOON * 2, "next")])
    after = logs.read(found(logs)[1], from_head=True).events
    assert [event.timestamp for event in after] == [*before, NOON * 2]


def test_streams_are_listed_by_name_and_by_time(logs: Logs) -> None:
    for number, name in enumerate(["b", "Ba", "a", "c", "B"]):
        fill(logs, 2, name, first=NOON + number * 10_000)
    logs.open_stream(*WORLD, GROUP, "empty")
    group, _ = found(logs, "a")
    assert [s.name for s in logs.streams(group, 10)] == ["B", "Ba", "a", "b", "c", "empty"]
    assert [s.name for s in logs.streams(group, 10, prefix="B")] == ["B", "Ba"]
    newest = logs.streams(group, 2, by_time=True, descending=True)
    assert [s.name for s in newest] == ["B", "c"]
    last = newest[-1].last_event
    assert last is not None
    rest = logs.streams(group, 10, by_time=True, descending=True, after=(last, "c"))
    assert [s.name for s in rest] == ["a", "Ba", "b", "empty"]


def test_a_sealed_stream_keeps_its_times_and_opening_unseals_it(logs: Logs) -> None:
    fill(logs, 3)
    logs.seal(*WORLD, GROUP, "s")
    assert found(logs)[1].last_event == NOON + 2000
    fill(logs, 1, first=NOON + 50_000)
    assert found(logs)[1].last_event == NOON + 50_000
    group, _ = found(logs)
    assert logs.streams(group, 1, by_time=True)[0].last_event == NOON + 50_000


def test_groups_page_by_name_and_know_their_bytes(logs: Logs) -> None:
    for name in ("/b/Two", "/a/one", "/b/three"):
        logs.append(*WORLD, name, "s", [(NOON, "hello")])
    first = logs.groups(*WORLD, 2)
    assert [group.name for group in first] == ["/a/one", "/b/Two"]
    assert first[0].stored_bytes == len(b'[1700000000000,"hello"]\n')
    assert [group.name for group in logs.groups(*WORLD, 2, after="/b/Two")] == ["/b/three"]
    assert [group.name for group in logs.groups(*WORLD, 9, prefix="/b/t")] == ["/b/three"]
    assert [group.name for group in logs.groups(*WORLD, 9, part="T")] == ["/b/Two"]
    assert [group.name for group in logs.groups(*WORLD, 9, part="%")] == []
    assert [group.name for group in logs.groups(*WORLD, 9, names=["/a/one", "/none"])] == ["/a/one"]


def test_a_search_merges_streams_by_time_and_pages_have_every_event_once(logs: Logs) -> None:
    everything = []
    for number in range(6):
        everything += fill(logs, 40, f"s{number}", first=NOON + number * 7_321, step=997)
    group, _ = found(logs, "s0")
    events, token = logs.filter(group, Search(), limit=17)
    while token is not None:
        more, token = logs.filter(group, Search(), token=token, limit=17)
        events += more
    assert [(event.timestamp, event.message) for event in events] == sorted(everything)
    assert len({event.id for event in events}) == len(everything)
    start, end = NOON + 20_000, NOON + 30_000
    some, _ = logs.filter(group, Search(start=start, end=end))
    assert [(e.timestamp, e.message) for e in some] == sorted(e for e in everything if start <= e[0] <= end)
    named, _ = logs.filter(group, Search(names=["s3"], pattern='"line 7 of"'))
    assert [(event.stream, event.message) for event in named] == [("s3", "line 7 of s3")]
    assert {event.stream for event in logs.filter(group, Search(prefix="s5"))[0]} == {"s5"}


def test_a_search_goes_on_in_streams_that_grow_meanwhile(logs: Logs) -> None:
    fill(logs, 20)
    group, stream = found(logs)
    events, token = logs.filter(group, Search(), limit=5)
    segments.append(stream.path, [(NOON + 60_000, "late")])
    rest, end = logs.filter(group, Search(), token=token)
    assert end is None
    assert [event.message for event in rest[-2:]] == ["line 19 of s", "late"]
    assert len(events) + len(rest) == 21


@pytest.mark.parametrize(
    "token", ["", "e30=", "WzFd", "WzEsMSwxLFtbMSwiYSJdXV0=", "WzEsMSwxLFtbMSw5OTk5OTk5OTk5OTk5OTk5OTk5OV1dXQ=="]
)
def test_a_search_token_of_nobody_is_refused(logs: Logs, token: str) -> None:
    fill(logs, 3)
    with pytest.raises(TokenError):
        logs.filter(found(logs)[0], Search(), token=token)


def test_emptying_an_account_leaves_the_others(logs: Logs) -> None:
    fill(logs, 3)
    logs.append("111111111111", WORLD[1], GROUP, "s", [(NOON, "kept")])
    path = found(logs)[1].path
    logs.empty(WORLD[0])
    assert logs.group(*WORLD, GROUP) is None
    assert not path.exists()
    assert logs.group("111111111111", WORLD[1], GROUP) is not None
