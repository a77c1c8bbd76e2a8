"""An object of many megabytes (of five gigabytes in `make soak`) never sits in the server's memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import serving

MEBIBYTE = 1024 * 1024
SIZE = int(os.environ.get("KENJA_SOAK_OBJECT", 160 * MEBIBYTE))  # bytes; `make soak` asks for 5 GiB
EXTRA = 64 * MEBIBYTE  # bytes of memory that the server may need beyond what it has when idle
BLOCK = os.urandom(MEBIBYTE)
PARTS = 8


def stream(size: int, seed: int) -> Iterator[bytes]:
    """Bytes without a period that a server could notice: a random block after a counter."""
    sent = 0
    while sent < size:
        piece = (seed + sent).to_bytes(8, "big") + BLOCK
        piece = piece[: size - sent]
        sent += len(piece)
        yield piece


def md5(pieces: Iterator[bytes]) -> str:
    digest = hashlib.md5()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def send(url: str, size: int, seed: int) -> str:
    """PUT a stream to a presigned address; its entity tag."""
    parts = urlsplit(url)
    connection = HTTPConnection(str(parts.hostname), parts.port, timeout=600)
    connection.request("PUT", f"{parts.path}?{parts.query}", stream(size, seed), {"Content-Length": str(size)})
    answer: HTTPResponse = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status == 200, text
    return str(answer.headers["ETag"])


class Memory:
    """What a process holds, from the kernel's own account of it."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self.idle = self._read("VmRSS")
        (self._folder / "clear_refs").write_text("5")  # the peak counts from now on; proc(5)

    def extra(self) -> int:
        """Bytes at the peak beyond those at the start."""
        return self._read("VmHWM") - self.idle

    def _read(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_large_object_is_stored_joined_read_and_copied_in_little_memory(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        s3 = server.client("s3", read_timeout=1800, signature_version="s3v4")
        s3.create_bucket(Bucket="large")
        for number in range(20):  # what an idle server has loaded after its first requests
            s3.put_object(Bucket="large", Key="small", Body=bytes(number))
            s3.get_object(Bucket="large", Key="small")["Body"].read()
        memory = Memory(server.children()["gateway"])
        seen: dict[str, int] = {}

        def presigned(operation: str, **parameters: Any) -> str:
            url: str = s3.generate_presigned_url(operation, {"Bucket": "large", **parameters}, ExpiresIn=3600)
            return url

        def read(key: str, **more: Any) -> str:
            answer = s3.get_object(Bucket="large", Key=key, **more)
            return md5(answer["Body"].iter_chunks(MEBIBYTE))

        whole = md5(stream(SIZE, 1))
        assert send(presigned("put_object", Key="put"), SIZE, 1) == f'"{whole}"'
        seen["put"] = memory.extra()
        assert read("put") == whole
        seen["get"] = memory.extra()

        upload = s3.create_multipart_upload(Bucket="large", Key="parts")["UploadId"]
        step = SIZE // PARTS
        parts = []
        for number in range(1, PARTS + 1):
            url = presigned("upload_part", Key="parts", UploadId=upload, PartNumber=number)
            parts.append({"PartNumber": number, "ETag": send(url, step, number)})
        seen["parts"] = memory.extra()
        s3.complete_multipart_upload(Bucket="large", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
        seen["complete"] = memory.extra()
        assert s3.head_object(Bucket="large", Key="parts")["ContentLength"] == step * PARTS
        for number in (1, PARTS):
            assert read("parts", PartNumber=number) == md5(stream(step, number))
        assert read("parts", Range=f"bytes={step}-{2 * step - 1}") == md5(stream(step, 2))

        copied = s3.copy_object(Bucket="large", Key="copy", CopySource={"Bucket": "large", "Key": "parts"})
        seen["copy"] = memory.extra()
        assert copied["CopyObjectResult"]["ETag"] == f'"{read("copy")}"'
        seen["get of the copy"] = memory.extra()
        print({step_name: f"{extra / MEBIBYTE:.1f} MiB" for step_name, extra in seen.items()})
        assert max(seen.values()) < EXTRA, seen
