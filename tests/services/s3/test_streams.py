"""Uploads as boto3 streams them over https, spoilt on their way: chunks, announced lengths, trailing checksums."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from typing import Any

import pytest

DATA = b"0123456789" * 20
_SHA1 = base64.b64encode(hashlib.sha1(DATA).digest())


def _put(another: Any, bucket: str, spoil: Callable[[bytes], bytes], **headers: str) -> None:
    s3 = another()

    def trail(params: dict[str, Any], **_: Any) -> None:
        params["context"]["checksum"]["request_algorithm"]["in"] = "trailer"
        params["headers"].update(headers)

    def tamper(request: Any, **_: Any) -> None:
        request.body = io.BytesIO(spoil(request.body.read()))

    s3.meta.events.register("before-call.s3.PutObject", trail)
    s3.meta.events.register("before-send.s3.PutObject", tamper)
    s3.put_object(Bucket=bucket, Key="a", Body=io.BytesIO(DATA), ChecksumAlgorithm="SHA256")


def _without_trailer(body: bytes) -> bytes:
    return body.partition(b"\r\n0\r\n")[0] + b"\r\n0\r\n\r\n"


def _with_another_trailer(body: bytes) -> bytes:
    return body.partition(b"\r\n0\r\n")[0] + b"\r\n0\r\nx-amz-checksum-sha1:" + _SHA1 + b"\r\n\r\n"


def _split(body: bytes) -> bytes:
    """The same data in other chunks."""
    end = body.partition(b"\r\n0\r\n")[2]
    return b"64\r\n" + DATA[:100] + b"\r\n64\r\n" + DATA[100:] + b"\r\n0\r\n" + end


SPOILT: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("the trailer is missing", _without_trailer, "MalformedTrailerError"),
    ("another trailer than announced", _with_another_trailer, "MalformedTrailerError"),
    ("no last chunk", lambda body: body.partition(b"\r\n0\r\n")[0] + b"\r\n", "IncompleteBody"),
    ("shorter than announced", lambda body: b"1\r\n0\r\n0\r\n" + body.partition(b"\r\n0\r\n")[2], "IncompleteBody"),
    ("longer than announced", lambda body: b"1\r\nx\r\n" + body, "IncompleteBody"),
    ("more after the end", lambda body: body + b"x", "IncompleteBody"),
    ("a length that is none", lambda body: b"-" + body, "IncompleteBody"),
    ("nothing", lambda _: b"", "IncompleteBody"),
]


@pytest.mark.parametrize(("spoil", "expected"), [case[1:] for case in SPOILT], ids=[case[0] for case in SPOILT])
def test_put_object_of_a_spoilt_stream_is_refused(
    s3: Any, another: Any, bucket: str, refused: Any, spoil: Callable[[bytes], bytes], expected: str
) -> None:
    _put(another, bucket, _split)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == DATA
    s3.delete_object(Bucket=bucket, Key="a")
    with refused(expected, 400):
        _put(another, bucket, spoil)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_put_object_with_a_checksum_of_no_algorithm_is_refused(another: Any, bucket: str, refused: Any) -> None:
    s3 = another()
    s3.meta.events.register(
        "before-call.s3.PutObject", lambda params, **_: params["headers"].update({"x-amz-checksum-foo": "AAAA"})
    )
    with refused("InvalidRequest", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x")
