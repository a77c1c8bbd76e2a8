"""Rules of listings that clients rarely touch: delimiters of any length, odd prefixes and markers, encoding, page sizes."""

from __future__ import annotations

from typing import Any

import pytest


def seen(answer: dict[str, Any]) -> tuple[list[str], list[str]]:
    return [each["Key"] for each in answer.get("Contents", [])], [
        each["Prefix"] for each in answer.get("CommonPrefixes", [])
    ]


def fill(s3: Any, bucket: str, *keys: str) -> None:
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")


@pytest.mark.parametrize(
    ("delimiter", "prefix", "keys", "prefixes"),
    [
        ("--", "", ["a-b", "plain"], ["a--", "b--"]),
        ("a--", "", ["a-b", "b--x", "plain"], ["a--"]),
        ("-", "a-", ["a-b"], ["a--"]),
        ("%", "", ["a--1", "a--2", "a-b", "b--x", "plain"], []),
        ("in", "pl", [], ["plain"]),  # what stands before the delimiter counts from the end of the prefix
        ("ain", "pl", [], ["plain"]),
        ("é", "", ["a--1", "a--2", "a-b", "b--x", "plain"], []),
        ("", "a--", ["a--1", "a--2"], []),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_list_objects_takes_any_delimiter(
    s3: Any, bucket: str, version: int, delimiter: str, prefix: str, keys: list[str], prefixes: list[str]
) -> None:
    fill(s3, bucket, "a--1", "a--2", "a-b", "b--x", "plain")
    list_objects = s3.list_objects if version == 1 else s3.list_objects_v2
    answer = list_objects(Bucket=bucket, Delimiter=delimiter, Prefix=prefix)
    assert seen(answer) == (keys, prefixes)
    assert answer.get("Delimiter", "") == delimiter


def test_list_objects_v2_counts_common_prefixes_in_its_pages(s3: Any, bucket: str) -> None:
    fill(s3, bucket, "a", "b/1", "b/2", "c", "d/1", "e")
    found: list[str] = []
    token: dict[str, str] = {}
    sizes = []
    while True:
        page = s3.list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=2, **token)
        keys, prefixes = seen(page)
        found += sorted(keys + prefixes)
        sizes.append(page["KeyCount"])
        if not page["IsTruncated"]:
            assert "NextContinuationToken" not in page
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert (found, sizes) == (["a", "b/", "c", "d/", "e"], [2, 2, 1])


def test_list_objects_v2_takes_markers_between_keys_and_inside_common_prefixes(s3: Any, bucket: str) -> None:
    fill(s3, bucket, "a", "b/1", "b/2", "c")
    assert seen(s3.list_objects_v2(Bucket=bucket, StartAfter="b/1", Delimiter="/")) == (["c"], [])
    assert seen(s3.list_objects_v2(Bucket=bucket, StartAfter="b/2", Delimiter="/")) == (["c"], [])
    assert seen(s3.list_objects_v2(Bucket=bucket, StartAfter="b", Delimiter="/")) == (["c"], ["b/"])
    assert seen(s3.list_objects_v2(Bucket=bucket, StartAfter="\n")) == (["a", "b/1", "b/2", "c"], [])
    assert seen(s3.list_objects_v2(Bucket=bucket, StartAfter="zzz")) == ([], [])
    assert seen(s3.list_objects(Bucket=bucket, Marker="b/1", Delimiter="/")) == (["c"], [])
    answer = s3.list_objects_v2(Bucket=bucket, ContinuationToken="")
    assert (seen(answer)[0], answer["ContinuationToken"]) == (["a", "b/1", "b/2", "c"], "")


@pytest.mark.parametrize("key", ["a b+c&d=e%41", "é/ü", "x\n\r\ty", "<&>'\"", "\x01", "*-._~/"])
def test_list_objects_v2_brings_any_key_back(s3: Any, bucket: str, key: str) -> None:
    fill(s3, bucket, key, "other")
    for list_objects in (s3.list_objects, s3.list_objects_v2):
        assert seen(list_objects(Bucket=bucket, Prefix=key[:1]))[0] == [key]
    coded = s3.list_objects_v2(Bucket=bucket, Prefix=key, EncodingType="url")
    assert coded["EncodingType"] == "url"
    assert coded["Contents"][0]["Key"].isascii()
    assert not set(coded["Contents"][0]["Key"]) & set(" <&+\n\r\t\x01\"'é")


def test_list_objects_shows_owners_and_list_objects_v2_when_asked(s3: Any, bucket: str) -> None:
    fill(s3, bucket, "a")
    assert "Owner" in s3.list_objects(Bucket=bucket)["Contents"][0]
    assert "Owner" not in s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert "Owner" in s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]
