"""multipart/form-data in pieces of any size: fields, the file's bytes, and what is refused. Encoded by urllib3, not by us."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from kenja.wire.errors import Malformed
from kenja.wire.formdata import FieldsTooLong, FormDecoder, SeveralFiles, boundary

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters='"\\\r\n%', exclude_categories=["Cc", "Cs"]),
    min_size=1,
    max_size=20,
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=50)


def decoded(body: bytes, content_type: str, sizes: list[int]) -> tuple[FormDecoder, bytes]:
    limit = boundary(content_type)
    assert limit is not None
    decoder, out, place = FormDecoder(limit), b"", 0
    for size in [*sizes, len(body)]:
        out += b"".join(decoder.feed(body[place : place + size]))
        place += size
    decoder.finish()
    return decoder, out


@settings(max_examples=150, deadline=None)
@given(
    fields=st.lists(st.tuples(NAMES.filter(lambda name: name.lower() != "file"), TEXTS), max_size=5), content=st.binary(max_size=300),
    filename=NAMES, sizes=st.lists(st.integers(1, 40), max_size=30),
)  # fmt: skip
def test_what_urllib3_encodes_comes_back(
    fields: list[tuple[str, str]], content: bytes, filename: str, sizes: list[int]
) -> None:
    body, content_type = encode_multipart_formdata([*fields, ("file", (filename, content, "a/b"))])
    decoder, out = decoded(body, content_type, sizes)
    assert (decoder.fields, out, decoder.has_file) == (fields, content, True)
    assert decoder.filename == filename.rpartition("/")[2]


@settings(max_examples=50, deadline=None)
@given(content=st.lists(st.sampled_from([b"\r\n", b"--", b"b", b"\r\n--", b"\r\n--b", b"\n", b"x"]), max_size=40))
def test_a_file_that_is_full_of_half_boundaries_stays_whole(content: list[bytes]) -> None:
    data = b"".join(content)
    if b"\r\n--bound" in b"\r\n" + data:
        return
    body, content_type = encode_multipart_formdata([("key", "k"), ("file", ("f", data, "a/b"))], boundary="bound")
    for step in (1, 3, 1000):
        assert decoded(body, content_type, [step] * (len(body) // step))[1] == data


def test_fields_after_the_file_do_not_count() -> None:
    body, content_type = encode_multipart_formdata([("a", "1"), ("file", ("f", b"x", "a/b")), ("b", "2" * 30_000)])
    decoder, out = decoded(body, content_type, [])
    assert (decoder.fields, out) == ([("a", "1")], b"x")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ([("a", "x" * 20_480)], FieldsTooLong),
        ([("file", ("a", b"1", "a/b")), ("FILE", ("b", b"2", "a/b"))], SeveralFiles),
        ([("a", b"\xff")], Malformed),
    ],
)
def test_what_a_form_may_not_have(fields: list[tuple[str, object]], error: type[Exception]) -> None:
    body, content_type = encode_multipart_formdata(fields)  # type: ignore[arg-type]
    with pytest.raises(error):
        decoded(body, content_type, [])


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=400))
def test_noise_is_malformed_or_a_form_and_nothing_else(noise: bytes) -> None:
    decoder = FormDecoder("b")
    try:
        decoder.feed(noise)
        decoder.finish()
    except Malformed:
        return


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("multipart/form-data; boundary=abc", "abc"), ('Multipart/Form-Data; charset=utf-8; boundary="a b"', "a b"),
        ("multipart/form-data;boundary=abc; charset=x", "abc"), ("multipart/form-data", None), ("text/plain; boundary=a", None),
        ("multipart/form-data; boundary=" + "x" * 71, None), ("", None),
    ],
)  # fmt: skip
def test_boundary_of_a_content_type(content_type: str, expected: str | None) -> None:
    assert boundary(content_type) == expected
