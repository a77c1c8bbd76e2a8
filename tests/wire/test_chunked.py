"""The aws-chunked decoder: as SDKs send it, split anywhere, and as an attacker would."""

from __future__ import annotations

import base64
import io
import zlib

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given, settings
from hypothesis import strategies as st

from kenja.wire import Malformed
from kenja.wire.chunked import ChunkedDecoder

PLAIN = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"
SIGNED = b"3;chunk-signature=aa\r\nabc\r\n2;chunk-signature=bb\r\nde\r\n0;chunk-signature=cc\r\n\r\n"


def _decoded(data: bytes, step: int, decoder: ChunkedDecoder) -> bytes:
    out = [piece for start in range(0, len(data), step) for piece in decoder.feed(data[start : start + step])]
    decoder.finish()
    return b"".join(out)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_body_may_be_split_anywhere(step: int) -> None:
    decoder = ChunkedDecoder(length=11)
    assert _decoded(PLAIN, step, decoder) == b"hello world"
    assert decoder.trailers == {"x-amz-checksum-crc32": "DUoRhQ=="}
    assert decoder.finished


@pytest.mark.parametrize("size", [0, 1, 65_536, 200_000])
def test_what_botocore_encodes_is_decoded(size: int) -> None:
    plain = b"x" * size
    encoded = AwsChunkedWrapper(io.BytesIO(plain), Crc32Checksum, "x-amz-checksum-crc32", chunk_size=65_536).read()
    decoder = ChunkedDecoder(length=size)
    assert _decoded(encoded, 10_000, decoder) == plain
    crc = base64.b64encode(zlib.crc32(plain).to_bytes(4, "big")).decode()
    assert decoder.trailers == {"x-amz-checksum-crc32": crc}


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_signed_chunks_are_given_to_the_verifier_whole_and_the_last_one_too(step: int) -> None:
    seen: list[tuple[str, bytes]] = []
    decoder = ChunkedDecoder(length=5, verify=lambda signature, data: seen.append((signature, data)))
    assert _decoded(SIGNED, step, decoder) == b"abcde"
    assert seen == [("aa", b"abc"), ("bb", b"de"), ("cc", b"")]


def test_no_byte_of_a_refused_chunk_is_given() -> None:
    def refuse(signature: str, data: bytes) -> None:
        raise Malformed("wrong signature")

    decoder = ChunkedDecoder(verify=refuse)
    assert decoder.feed(b"3;chunk-signature=aa\r\nab") == []
    with pytest.raises(Malformed, match="wrong signature"):
        decoder.feed(b"c")


def test_trailers_may_be_signed() -> None:
    decoder = ChunkedDecoder(verify=lambda signature, data: None)
    body = b"0;chunk-signature=cc\r\nX-Amz-Checksum-Crc32c: abc=\r\nx-amz-trailer-signature:dd\r\n\r\n"
    assert _decoded(body, 3, decoder) == b""
    assert decoder.trailer_signature == "dd"
    assert decoder.trailer_text == b"x-amz-checksum-crc32c:abc=\n"


@pytest.mark.parametrize(
    "body",
    [
        b"xyz\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5 5\r\nhello",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"ffffffffffffff\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhel",
        b"5\r\nhello\r\n",
        b"0\r\n\r\nmore",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\na:b\r\nA:c\r\n\r\n",
        b"0\r\n" + b"".join(b"a%d:b\r\n" % number for number in range(40)) + b"\r\n",
        b"0\r\nx:" + b"y" * 5000 + b"\r\n\r\n",
        b"1" * 5000,
        b"\r\n",
        b"",
    ],
)
def test_hostile_bodies_are_malformed(body: bytes) -> None:
    decoder = ChunkedDecoder()
    with pytest.raises(Malformed):
        _decoded(body, 1000, decoder)


def test_an_unsigned_chunk_is_refused_where_signed_ones_were_announced() -> None:
    with pytest.raises(Malformed, match="no signature"):
        ChunkedDecoder(verify=lambda signature, data: None).feed(b"5\r\nhello\r\n")


@pytest.mark.parametrize("length", [10, 12])
def test_a_body_of_another_length_than_announced_is_malformed(length: int) -> None:
    with pytest.raises(Malformed, match="announced"):
        _decoded(PLAIN, 1000, ChunkedDecoder(length=length))


def test_a_large_chunk_is_passed_on_as_it_comes() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(b"40000000\r\n")
    assert b"".join(decoder.feed(b"x" * 3_000_000)) == b"x" * 3_000_000


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 10))
def test_anything_is_decoded_or_malformed(body: bytes, step: int) -> None:
    try:
        _decoded(body, step, ChunkedDecoder())
    except Malformed:
        return
    assert b"0" in body
