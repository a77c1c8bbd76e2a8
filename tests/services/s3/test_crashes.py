"""Uploads while the gateway is killed: an acknowledged one is there when the server answers again."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.conftest import serving, wait_until


def answers(s3: Any) -> bool:
    try:
        s3.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True


@pytest.mark.crash
def test_put_object_and_upload_part_survive_kill_9_of_the_gateway(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        s3 = server.client("s3")
        s3.create_bucket(Bucket="crashes")
        upload = s3.create_multipart_upload(Bucket="crashes", Key="parts")["UploadId"]
        objects: dict[str, bytes] = {}
        parts: dict[int, str] = {}
        for number in range(3):
            stop = threading.Event()

            def write(number: int = number, stop: threading.Event = stop) -> None:
                step = 0
                while not stop.is_set():
                    step += 1
                    data = os.urandom(step * 40_000 % 900_000)
                    try:
                        s3.put_object(Bucket="crashes", Key=f"{number}/{step}", Body=data)
                        objects[f"{number}/{step}"] = data
                        part = number * 1000 + step
                        answer = s3.upload_part(
                            Bucket="crashes", Key="parts", UploadId=upload, PartNumber=part, Body=data
                        )
                        parts[part] = answer["ETag"]
                    except (BotoCoreError, ClientError):
                        return

            before = len(parts)
            writer = threading.Thread(target=write)
            writer.start()
            wait_until(lambda before=before: len(parts) > before + 5)
            os.kill(server.children()["gateway"], signal.SIGKILL)
            stop.set()
            writer.join()
            wait_until(lambda: answers(s3))
        for key, data in objects.items():
            assert s3.get_object(Bucket="crashes", Key=key)["Body"].read() == data
        pages = s3.get_paginator("list_parts").paginate(Bucket="crashes", Key="parts", UploadId=upload)
        found = {part["PartNumber"]: part["ETag"] for page in pages for part in page["Parts"]}
        assert parts.items() <= found.items()
        s3.close()
