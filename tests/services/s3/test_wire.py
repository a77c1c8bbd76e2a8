"""What only a raw socket shows: uploads without a length or too long for one request, downloads that nobody reads on."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import wait_until

MEBIBYTE = 1024 * 1024


@pytest.fixture
def address(server: Any) -> tuple[str, int]:
    parts = urlsplit(server.endpoint)
    return str(parts.hostname), int(parts.port or 0)


def ask(address: tuple[str, int], url: str, method: str, *headers: str, body: bytes = b"") -> str:
    """The answer to a request whose head is written by hand; `url` is presigned."""
    parts = urlsplit(url)
    head = [f"{method} {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close", *headers]
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer.decode("latin-1")


def presigned(client: Any, operation: str, **parameters: Any) -> str:
    url: str = client.generate_presigned_url(operation, parameters, ExpiresIn=300)
    return url


def test_put_object_without_a_length_is_refused(another: Any, bucket: str, address: tuple[str, int]) -> None:
    s3 = another(signature_version="s3v4")
    url = presigned(s3, "put_object", Bucket=bucket, Key="a")
    assert "MissingContentLength" in ask(address, url, "PUT")
    answer = ask(address, url, "PUT", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n")
    assert answer.startswith("HTTP/1.1 501")
    assert "<Code>NotImplemented</Code>" in answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert ask(address, url, "PUT", "Content-Length: 1", body=b"x").startswith("HTTP/1.1 200")


def test_put_object_of_more_than_five_gigabytes_is_refused_before_it_comes(
    another: Any, bucket: str, address: tuple[str, int]
) -> None:
    url = presigned(another(signature_version="s3v4"), "put_object", Bucket=bucket, Key="a")
    answer = ask(address, url, "PUT", f"Content-Length: {5 * 1024**3 + 1}", "Expect: 100-continue")
    assert answer.startswith("HTTP/1.1 400"), answer[:200]
    assert "<Code>EntityTooLarge</Code>" in answer
    assert "<MaxSizeAllowed>5368709120</MaxSizeAllowed>" in answer


def test_get_object_stops_when_the_client_goes_away(
    server: Any, another: Any, bucket: str, address: tuple[str, int]
) -> None:
    s3 = another(signature_version="s3v4")
    s3.put_object(Bucket=bucket, Key="a", Body=bytes(64 * MEBIBYTE))
    url = urlsplit(presigned(s3, "get_object", Bucket=bucket, Key="a"))
    gateway = server.children()["gateway"]

    def open_blobs() -> list[str]:
        folder = Path(f"/proc/{gateway}/fd")
        links = [entry.readlink() for entry in folder.iterdir() if entry.is_symlink()]
        return [str(link) for link in links if "/objects/blobs/" in str(link)]

    def read() -> int:
        lines = Path(f"/proc/{gateway}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("rchar:"))  # bytes; proc(5)

    before = read()
    connection = socket.create_connection(address, timeout=30)
    connection.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    wait_until(open_blobs)
    time.sleep(0.1)
    assert open_blobs(), "the server has not sent all of it: nobody reads"
    connection.close()
    wait_until(lambda: not open_blobs())
    assert read() - before < 32 * MEBIBYTE
