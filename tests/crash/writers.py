"""Clients that write to S3 while processes die, and remember what each key may hold: what was acknowledged, or what may have been."""

from __future__ import annotations

import hashlib
import http.client
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

Content = str | None  # SHA-256 of an object; None: there is none
PART = 5 * 1024 * 1024  # bytes; the smallest part that is not the last one
PAUSE = 0.05  # seconds after a failure, before the next try


class Ledger:
    """What every key may hold. Thread safe as long as each key has one writer."""

    def __init__(self) -> None:
        self.allowed: defaultdict[str, set[Content]] = defaultdict(lambda: {None})
        self.acknowledged = 0
        self.refused: list[str] = []  # answers that no valid request should get

    def write(self, key: str, content: Content, send: Callable[[], Any]) -> bool:
        """Send a change of `key` to `content`; True when it was acknowledged."""
        self.allowed[key].add(content)
        try:
            send()
        except ClientError as error:
            self.refused.append(f"{key}: {error}")
            return False
        except BotoCoreError:  # the connection broke: it may have happened or not
            return False
        self.allowed[key] = {content}
        self.acknowledged += 1
        return True

    def problems(self, s3: Any, bucket: str, prefix: str = "") -> list[str]:
        """Keys that hold what they must not; every byte is read."""
        found = []
        for key, allowed in sorted(self.allowed.items()):
            if key.startswith(prefix):
                present = read(s3, bucket, key)
                if present not in allowed:
                    found.append(f"{key} is {present}, allowed are {allowed}")
        return found


def read(s3: Any, bucket: str, key: str) -> Content:
    """The SHA-256 of an object, or None."""
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
    except s3.exceptions.NoSuchKey:
        return None
    return digest(answer["Body"].read())


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


class Writers:
    """Threads that write below `prefix` until `stop`: small and large objects, overwritten and deleted, and multipart uploads."""

    def __init__(self, s3: Any, bucket: str, prefix: str, ledger: Ledger, seed: str) -> None:
        self._s3, self._bucket, self._prefix, self._ledger = s3, bucket, prefix, ledger
        self._end = threading.Event()
        self._failures: list[BaseException] = []
        tasks = (self._objects, self._multipart)
        self._threads = [
            threading.Thread(target=self._guarded, args=(task, random.Random(f"{seed}/{task.__name__}")))
            for task in tasks
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all of them; raises what went wrong in one."""
        self._end.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"
        if self._failures:
            raise self._failures[0]

    def _guarded(self, task: Callable[[random.Random], None], choices: random.Random) -> None:
        try:
            task(choices)
        except BaseException as error:
            self._failures.append(error)

    def _objects(self, choices: random.Random) -> None:
        step = 0
        while not self._end.is_set():
            step += 1
            key = f"{self._prefix}/objects/{step % 12}"
            if step > 12 and choices.random() < 0.2:
                done = self._ledger.write(
                    key, None, lambda key=key: self._s3.delete_object(Bucket=self._bucket, Key=key)
                )
            else:
                size = choices.choice((0, 1, 1000, 70_000, 300_000, 3_000_000))
                data = choices.randbytes(size)
                done = self._ledger.write(key, digest(data), lambda key=key, data=data: self._put(key, data))
            self._end.wait(0.01 if done else PAUSE)

    def _put(self, key: str, data: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)

    def _multipart(self, choices: random.Random) -> None:
        step = 0
        while not self._end.is_set():
            step += 1
            key = f"{self._prefix}/parts/{step}"
            pieces = [choices.randbytes(PART), choices.randbytes(choices.randrange(1, 200_000))]
            done = self._ledger.write(key, digest(b"".join(pieces)), lambda key=key, p=pieces: self._upload(key, p))
            self._end.wait(0.2 if done else PAUSE)

    def _upload(self, key: str, pieces: list[bytes]) -> None:
        place = {"Bucket": self._bucket, "Key": key}
        upload = self._s3.create_multipart_upload(**place)["UploadId"]
        parts = []
        for number, piece in enumerate(pieces, 1):
            answer = self._s3.upload_part(**place, UploadId=upload, PartNumber=number, Body=piece)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self._s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})


def cut_upload(s3: Any, bucket: str, key: str, size: int, sent: int) -> None:
    """Begin to put an object of `size` bytes and close the connection after `sent` of them."""
    url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": key}, ExpiresIn=600)
    place = urlsplit(url)
    line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    try:
        line.putrequest("PUT", f"{place.path}?{place.query}", skip_accept_encoding=True)
        line.putheader("Content-Length", str(size))
        line.endheaders()
        line.send(b"x" * sent)
    except ConnectionError:
        return  # the server died first
    finally:
        line.close()
