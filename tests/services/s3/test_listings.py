"""Listings of objects through boto3."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kenja.core.clock import Clock
from kenja.kernel.database import sqlite_url
from kenja.kernel.objects import ObjectStore

FOLDERS, PER_FOLDER = 100, 100


@pytest.fixture(scope="module")
def large(server: Any, shared: Any) -> str:
    """A bucket with 10,000 keys in 100 folders; written by a second process on the server's data, which is faster."""
    name = f"large-{uuid.uuid4().hex}"
    shared.create_bucket(Bucket=name)
    folder = server.data / "objects"
    store = ObjectStore(folder, sqlite_url(folder / "index.db"), Clock())

    def fill(folder: int) -> None:
        for number in range(PER_FOLDER):
            with store.receive(b"") as draft:
                store.put(server.keys.account, name, f"{folder:03}/{number:03}", draft)

    with ThreadPoolExecutor(16) as pool:  # so that the disk makes several durable at once
        list(pool.map(fill, range(FOLDERS)))
    store.close()
    return name


@pytest.fixture
def small(s3: Any, bucket: str) -> str:
    for key in ("a", "b/1", "b/2", "b/c/3", "d e", "é", "z"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return bucket


def seen(answer: dict[str, Any]) -> tuple[list[str], list[str]]:
    return [each["Key"] for each in answer.get("Contents", [])], [
        each["Prefix"] for each in answer.get("CommonPrefixes", [])
    ]


def test_list_objects_v2_groups_by_delimiter(s3: Any, small: str) -> None:
    answer = s3.list_objects_v2(Bucket=small, Delimiter="/")
    assert seen(answer) == (["a", "d e", "z", "é"], ["b/"])
    assert (answer["KeyCount"], answer["IsTruncated"], answer["MaxKeys"]) == (5, False, 1000)
    assert seen(s3.list_objects_v2(Bucket=small, Delimiter="/", Prefix="b/")) == (["b/1", "b/2"], ["b/c/"])
    assert seen(s3.list_objects_v2(Bucket=small, Prefix="none")) == ([], [])


def test_list_objects_v2_entries_have_what_the_objects_have(s3: Any, small: str) -> None:
    entry = s3.list_objects_v2(Bucket=small, Prefix="d", FetchOwner=True)["Contents"][0]
    head = s3.head_object(Bucket=small, Key="d e")
    assert (entry["ETag"], entry["Size"], entry["LastModified"]) == (head["ETag"], 3, head["LastModified"])
    assert entry["StorageClass"] == "STANDARD"
    assert len(entry["Owner"]["ID"]) == 64


def test_list_objects_v2_pages_and_starts_after(s3: Any, small: str, refused: Any) -> None:
    everything = seen(s3.list_objects_v2(Bucket=small))[0]
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=small, PaginationConfig={"PageSize": 2}))
    assert [key for page in pages for key in seen(page)[0]] == everything
    assert len(pages) == 4
    assert seen(s3.list_objects_v2(Bucket=small, StartAfter="b/2"))[0] == everything[3:]
    first = s3.list_objects_v2(Bucket=small, MaxKeys=2, StartAfter="a")
    after = s3.list_objects_v2(Bucket=small, ContinuationToken=first["NextContinuationToken"], StartAfter="a")
    assert seen(after)[0] == everything[3:]
    with refused("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=small, ContinuationToken="not a token!")


def test_list_objects_v2_of_no_keys(s3: Any, small: str, refused: Any) -> None:
    answer = s3.list_objects_v2(Bucket=small, MaxKeys=0)
    assert (seen(answer), answer["IsTruncated"], answer["KeyCount"]) == (([], []), False, 0)
    assert s3.list_objects_v2(Bucket=small, MaxKeys=5000)["MaxKeys"] == 1000
    with refused("InvalidArgument", 400):
        s3.list_objects_v2(Bucket=small, MaxKeys=-1)
    with refused("NoSuchBucket", 404):
        s3.list_objects_v2(Bucket="no-such-bucket-at-all")


def test_list_objects_pages_by_marker(s3: Any, small: str, refused: Any) -> None:
    everything = seen(s3.list_objects(Bucket=small))[0]
    pages = list(s3.get_paginator("list_objects").paginate(Bucket=small, PaginationConfig={"PageSize": 2}))
    assert [key for page in pages for key in seen(page)[0]] == everything
    assert "NextMarker" not in pages[0]
    grouped = s3.list_objects(Bucket=small, Delimiter="/", MaxKeys=2)
    assert (seen(grouped), grouped["NextMarker"]) == ((["a"], ["b/"]), "b/")
    assert seen(s3.list_objects(Bucket=small, Delimiter="/", Marker="b/")) == (["d e", "z", "é"], [])
    with refused("NoSuchBucket", 404):
        s3.list_objects(Bucket="no-such-bucket-at-all")


def test_list_objects_v2_of_ten_thousand_keys_takes_the_same_time_on_every_page(s3: Any, large: str) -> None:
    times, keys, token = [], [], {}
    while True:
        start = time.perf_counter()
        answer = s3.list_objects_v2(Bucket=large, **token)
        times.append(time.perf_counter() - start)
        keys += seen(answer)[0]
        if not answer["IsTruncated"]:
            break
        token = {"ContinuationToken": answer["NextContinuationToken"]}
    assert len(keys) == len(set(keys)) == FOLDERS * PER_FOLDER
    assert keys == sorted(keys)
    assert sorted(times[-3:])[1] < 5 * sorted(times[:3])[1]


def test_list_objects_v2_rolls_ten_thousand_keys_up_in_pages(s3: Any, large: str) -> None:
    pages = list(
        s3.get_paginator("list_objects_v2").paginate(Bucket=large, Delimiter="/", PaginationConfig={"PageSize": 30})
    )
    assert [prefix for page in pages for prefix in seen(page)[1]] == [f"{folder:03}/" for folder in range(FOLDERS)]
    assert len(pages) == 4
