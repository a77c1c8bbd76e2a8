"""The framed protocol between gateway and model server: what goes in comes out, and nothing else gets through."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kenja_worker.modelserver import frames
from kenja_worker.modelserver.frames import Frame, FrameError, FrameReader, Kind

text = st.binary(max_size=40).filter(lambda value: b"\0" not in value)
any_frame = st.builds(
    Frame,
    id=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(Kind),
    body=st.binary(max_size=300),
    content_type=text,
    accept=text,
    custom_attributes=text,
    headers=st.lists(st.tuples(text, text), max_size=3).map(tuple),
    status=st.integers(0, 599),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(any_frame, max_size=6), st.lists(st.integers(1, 200), max_size=20))
def test_frames_survive_any_cut_of_the_stream(sent: list[Frame], cuts: list[int]) -> None:
    data = b"".join(frames.encode(frame) for frame in sent)
    reader = FrameReader()
    received: list[Frame] = []
    start = 0
    for cut in [*cuts, len(data)]:
        received += reader.feed(data[start : start + cut])
        start += cut
    assert received == sent
    assert reader.idle


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_rubbish_is_an_error_or_waits_for_more(data: bytes) -> None:
    reader = FrameReader(max_body=1000)
    try:
        received = reader.feed(data)
    except FrameError:
        return
    assert all(isinstance(frame, Frame) for frame in received)


def test_one_byte_at_a_time_is_enough() -> None:
    frame = Frame(7, Kind.INVOKE, b"1,2", b"text/csv", b"", b"x", ((b"a", b"b"),))
    reader = FrameReader()
    received = [one for byte in frames.encode(frame) for one in reader.feed(bytes([byte]))]
    assert received == [frame]


def test_sizes_are_bounded_on_both_sides() -> None:
    with pytest.raises(FrameError, match="65535 are allowed"):
        frames.encode(Frame(1, Kind.INVOKE, content_type=b"x" * 70_000))
    with pytest.raises(FrameError, match="are allowed"):
        FrameReader(max_body=1000).feed(struct.pack("<I", 2**31))
    with pytest.raises(FrameError, match="are allowed"):
        FrameReader(max_body=1000).feed(struct.pack("<I", 3))
    with pytest.raises(FrameError, match="are allowed"):
        FrameReader(max_body=10).feed(frames.encode(Frame(1, Kind.INVOKE, b"x" * 400_000)))


def test_a_frame_that_lies_about_itself_is_refused() -> None:
    good = bytearray(frames.encode(Frame(1, Kind.INVOKE, b"body", b"text/csv")))
    good[8] = 9
    with pytest.raises(FrameError, match="unknown kind 9"):
        FrameReader().feed(bytes(good))
    lengths = bytearray(frames.encode(Frame(1, Kind.INVOKE, b"body", b"text/csv")))
    lengths[11:13] = struct.pack("<H", 200)
    with pytest.raises(FrameError, match="longer than the frame"):
        FrameReader().feed(bytes(lengths))
    with pytest.raises(FrameError, match="NUL"):
        frames.encode(Frame(1, Kind.INVOKE, headers=((b"a\0", b"b"),)))
