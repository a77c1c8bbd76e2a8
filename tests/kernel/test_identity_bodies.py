"""Bodies in the chain: hashed or signed chunk by chunk, spooled, and refused when they are not the signed ones."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kenja.core.config import Config
from kenja.core.errors import ServiceError
from kenja.kernel.kernel import Kernel
from kenja.kernel.services import Manifest
from kenja.server.chain import body, signature
from kenja.server.chain.head import Head
from kenja.server.chain.route import Target
from kenja.wire.errors import Malformed

S3 = Manifest("s3", "", "s3", "s3", "", "2006-03-01", ("rest-xml",))
LOGS = Manifest("logs", "", "logs", "logs", "Logs_20140328", "2014-03-28", ("json",))
DATA = [b"a" * 70_000, b"b" * 70_000, b"c"]


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    opened = Kernel(Config(tmp_path / "data"))
    yield opened
    opened.close()


@pytest.fixture
def keys(kernel: Kernel) -> Credentials:
    root = kernel.identity.create_account()
    return Credentials(root.access_key_id, root.secret_access_key)


class _Signer(S3SigV4Auth):
    word = ""

    def payload(self, request: Any) -> str:
        return self.word or super().payload(request)


def signed(
    keys: Credentials, content: bytes, *, word: str = "", manifest: Manifest = S3, headers: dict[str, str] | None = None
) -> Target:
    signer = _Signer(keys, "s3", "us-east-1") if manifest is S3 else SigV4Auth(keys, manifest.signing_name, "us-east-1")
    if isinstance(signer, _Signer):
        signer.word = word
    request = AWSRequest("PUT", "http://h/b/k", headers={"host": "h", **(headers or {})}, data=content)
    signer.add_auth(request)
    found = {name.lower(): str(value) for name, value in request.headers.items()}
    return Target(manifest, "rest", Head("PUT", "/b/k", "", found))


def chunked(target: Target, keys: Credentials, trailer: str = "", *, last: bool = True) -> bytes:
    """DATA as `aws-chunked` with a signature for each chunk and for the trailer."""
    head = target.head
    stamp, previous = head.headers["x-amz-date"], head.headers["authorization"].rpartition("=")[2]
    scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    out = b""
    for data in [*DATA, b""] if last else DATA:
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{stamp}\n{scope}\n{previous}\n{hashlib.sha256(b'').hexdigest()}\n{hashlib.sha256(data).hexdigest()}"
        previous = hmac.digest(key, text.encode(), "sha256").hex()
        out += f"{len(data):x};chunk-signature={previous}\r\n".encode() + data + (b"\r\n" if data else b"")
    if trailer:
        text = f"AWS4-HMAC-SHA256-TRAILER\n{stamp}\n{scope}\n{previous}\n{hashlib.sha256(trailer.encode()).hexdigest()}"
        out += (
            trailer.encode().replace(b"\n", b"\r\n")
            + f"x-amz-trailer-signature:{hmac.digest(key, text.encode(), 'sha256').hex()}\r\n".encode()
        )
    return out + b"\r\n"


def receive(kernel: Kernel, target: Target, content: bytes, piece: int = 10_000) -> body.Spooled:
    """What the gateway does with a request before its handler."""
    found = signature.verify(kernel, target.head, target)
    spool = signature.spool(kernel, target, found)
    pieces = [content[at : at + piece] for at in range(0, len(content), piece)] or [b""]
    messages = iter(
        [{"type": "http.request", "body": text, "more_body": True} for text in pieces[:-1]]
        + [{"type": "http.request", "body": pieces[-1]}]
    )

    async def next_message() -> Any:
        return next(messages)

    with ThreadPoolExecutor(1) as threads:
        spooled = asyncio.run(spool.receive(next_message, threads))
    try:
        signature.check_payload(target, found, spooled)
    except ServiceError:
        spooled.discard()
        raise
    return spooled


def test_a_body_must_have_the_signed_hash(kernel: Kernel, keys: Credentials) -> None:
    target = signed(keys, b"x" * 300_000)
    spooled = receive(kernel, target, b"x" * 300_000)
    assert spooled.path is not None, "a large body lies in a file"
    assert spooled.bytes() == b"x" * 300_000
    spooled.discard()
    for wrong in (b"x" * 299_999, b"x" * 299_999 + b"y", b""):
        with pytest.raises(ServiceError, match="XAmzContentSHA256Mismatch"):
            receive(kernel, target, wrong)
    assert list(kernel.objects.incoming_folder.iterdir()) == []


def test_a_body_that_completes_the_signature_must_be_the_signed_one(kernel: Kernel, keys: Credentials) -> None:
    target = signed(
        keys,
        b"{}",
        manifest=LOGS,
        headers={"x-amz-target": "Logs_20140328.X", "content-type": "application/x-amz-json-1.1"},
    )
    assert receive(kernel, target, b"{}").memory == b"{}"
    with pytest.raises(ServiceError, match="InvalidSignatureException"):
        receive(kernel, target, b"{ }")


@pytest.mark.parametrize("piece", [1, 7_777, 10**6])
@pytest.mark.parametrize("trailer", ["", "x-amz-checksum-crc32:AAAAAA==\n"])
def test_signed_chunks_are_put_together(kernel: Kernel, keys: Credentials, trailer: str, piece: int) -> None:
    word = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
    target = signed(keys, b"", word=word, headers={"x-amz-decoded-content-length": str(sum(map(len, DATA)))})
    spooled = receive(kernel, target, chunked(target, keys, trailer), piece)
    assert spooled.bytes() == b"".join(DATA)
    assert spooled.trailers == ({"x-amz-checksum-crc32": "AAAAAA=="} if trailer else {})
    spooled.discard()


def test_changed_reordered_and_missing_chunks_are_refused(kernel: Kernel, keys: Credentials) -> None:
    word = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    target = signed(keys, b"", word=word, headers={"x-amz-decoded-content-length": str(sum(map(len, DATA)))})
    trailer = "x-amz-checksum-crc32:AAAAAA==\n"
    good = chunked(target, keys, trailer)
    receive(kernel, target, good).discard()
    first, second = good.index(b"a" * 9), good.index(b"b" * 9)
    header = good.rindex(b"\r\n", 0, second - 2) + 2
    one, two = good[:header], good[header : header + (header - 0)]
    wrong = {
        "a byte": good[:first] + b"x" + good[first + 1 :],
        "a later byte": good[:second] + b"x" + good[second + 1 :],
        "the trailer": good.replace(b"AAAAAA==", b"BBBBBB=="),
        "no trailer": good[: good.index(b"x-amz-checksum")] + b"\r\n",
        "no trailer signature": good[: good.index(b"x-amz-trailer-signature")] + b"\r\n",
        "two chunks swapped": two + one + good[len(one) + len(two) :],
        "no signatures": good.replace(b";chunk-signature=", b";chunk-signaturf="),
    }
    for what, content in wrong.items():
        with pytest.raises((ServiceError, Malformed)) as caught:
            receive(kernel, target, content)
        assert "SignatureDoesNotMatch" in str(caught.value) or isinstance(caught.value, Malformed), what
    with pytest.raises(Malformed):
        receive(kernel, target, chunked(target, keys, last=False))
    assert list(kernel.objects.incoming_folder.iterdir()) == []


@pytest.mark.parametrize("length", [None, "", "x", "-1", "１"])
def test_a_chunked_body_must_announce_its_length(kernel: Kernel, keys: Credentials, length: str | None) -> None:
    target = signed(keys, b"", word="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    headers = dict(target.head.headers) | ({} if length is None else {"x-amz-decoded-content-length": length})
    found = signature.verify(kernel, target.head, target)
    with pytest.raises(ServiceError, match="MissingContentLength"):
        signature.spool(kernel, Target(S3, "rest", Head("PUT", "/b/k", "", headers)), found)
