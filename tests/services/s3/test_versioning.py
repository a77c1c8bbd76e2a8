"""Versions: what every operation does in a bucket that keeps them, that stopped to, and that never did."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def versioned(s3: Any, bucket: str) -> str:
    turn(s3, bucket, "Enabled")
    return bucket


def turn(s3: Any, bucket: str, status: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def put(s3: Any, bucket: str, body: str, key: str = "a") -> str:
    version: str = s3.put_object(Bucket=bucket, Key=key, Body=body.encode())["VersionId"]
    return version


def get(s3: Any, bucket: str, version: str | None = None, key: str = "a") -> str:
    named = {} if version is None else {"VersionId": version}
    text: str = s3.get_object(Bucket=bucket, Key=key, **named)["Body"].read().decode()
    return text


def versions(answer: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(row["Key"], row["VersionId"], row["IsLatest"]) for row in answer.get("Versions", [])]


def markers(answer: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(row["Key"], row["VersionId"], row["IsLatest"]) for row in answer.get("DeleteMarkers", [])]


def test_put_bucket_versioning_and_get_bucket_versioning(s3: Any, bucket: str, refused: Any) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert "VersionId" not in s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    for status in ("Suspended", "Enabled", "Enabled", "Suspended"):
        turn(s3, bucket, status)
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status
    with refused("IllegalVersioningConfigurationException", 400):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"MFADelete": "Disabled"})
    with refused("NotImplemented", 501):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled", "MFADelete": "Enabled"})
    for call in (s3.get_bucket_versioning, s3.list_object_versions):
        with refused("NoSuchBucket", 404):
            call(Bucket="no-such-bucket-at-all")
    with refused("NoSuchBucket", 404):
        turn(s3, "no-such-bucket-at-all", "Enabled")


def test_put_object_in_a_versioned_bucket_keeps_what_was_there(s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned, "one"), put(s3, versioned, "two")
    assert first != second
    assert (get(s3, versioned), get(s3, versioned, first), get(s3, versioned, second)) == ("two", "one", "two")
    for version, size in ((first, 3), (second, 3)):
        head = s3.head_object(Bucket=versioned, Key="a", VersionId=version)
        assert (head["VersionId"], head["ContentLength"]) == (version, size)
    assert s3.head_object(Bucket=versioned, Key="a")["VersionId"] == second
    assert versions(s3.list_object_versions(Bucket=versioned)) == [("a", second, True), ("a", first, False)]
    assert s3.list_objects_v2(Bucket=versioned)["KeyCount"] == 1


def test_delete_object_leaves_a_marker_that_can_be_removed(s3: Any, versioned: str, refused: Any) -> None:
    first = put(s3, versioned, "one")
    deleted = s3.delete_object(Bucket=versioned, Key="a")
    assert deleted["DeleteMarker"] is True
    marker = deleted["VersionId"]
    with refused("NoSuchKey", 404) as error:
        s3.get_object(Bucket=versioned, Key="a")
    headers = error["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == ("true", marker)
    with refused("404", 404) as error:
        s3.head_object(Bucket=versioned, Key="a")
    assert error["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    with refused("MethodNotAllowed", 405) as error:
        s3.get_object(Bucket=versioned, Key="a", VersionId=marker)
    headers = error["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["x-amz-delete-marker"], headers["allow"]) == ("true", "DELETE")
    assert "last-modified" in headers
    with refused("405", 405):
        s3.head_object(Bucket=versioned, Key="a", VersionId=marker)
    answer = s3.list_object_versions(Bucket=versioned)
    assert (markers(answer), versions(answer)) == ([("a", marker, True)], [("a", first, False)])
    assert s3.list_objects_v2(Bucket=versioned)["KeyCount"] == 0
    assert get(s3, versioned, first) == "one"
    removed = s3.delete_object(Bucket=versioned, Key="a", VersionId=marker)
    assert (removed["VersionId"], removed["DeleteMarker"]) == (marker, True)
    assert get(s3, versioned) == "one"


def test_delete_object_of_a_version_is_for_ever_and_uncovers_the_one_before(
    s3: Any, versioned: str, refused: Any
) -> None:
    written = [put(s3, versioned, str(number)) for number in range(3)]
    answer = s3.delete_object(Bucket=versioned, Key="a", VersionId=written[2])
    assert (answer["VersionId"], "DeleteMarker" in answer) == (written[2], False)
    assert get(s3, versioned) == "1"
    s3.delete_object(Bucket=versioned, Key="a", VersionId=written[0])
    assert versions(s3.list_object_versions(Bucket=versioned)) == [("a", written[1], True)]
    with refused("NoSuchVersion", 404) as error:
        s3.get_object(Bucket=versioned, Key="a", VersionId=written[0])
    assert error["Error"]["VersionId"] == written[0]
    s3.delete_object(Bucket=versioned, Key="a", VersionId=written[0])  # again: no error
    for version in ("", "made-up", "x" * 33):
        with refused("InvalidArgument", 400):
            s3.delete_object(Bucket=versioned, Key="a", VersionId=version)
    s3.delete_object(Bucket=versioned, Key="a", VersionId=written[1])
    assert "Versions" not in s3.list_object_versions(Bucket=versioned)


def test_a_suspended_bucket_writes_and_deletes_the_null_version(s3: Any, bucket: str, refused: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"before")
    assert versions(s3.list_object_versions(Bucket=bucket)) == [("a", "null", True)]
    turn(s3, bucket, "Enabled")
    assert s3.head_object(Bucket=bucket, Key="a")["VersionId"] == "null"
    kept = put(s3, bucket, "kept")
    assert get(s3, bucket, "null") == "before"
    turn(s3, bucket, "Suspended")
    for body in ("first", "second"):
        assert put(s3, bucket, body) == "null"
    assert (get(s3, bucket), get(s3, bucket, "null"), get(s3, bucket, kept)) == ("second", "second", "kept")
    assert versions(s3.list_object_versions(Bucket=bucket)) == [("a", "null", True), ("a", kept, False)]
    deleted = s3.delete_object(Bucket=bucket, Key="a")
    assert (deleted["VersionId"], deleted["DeleteMarker"]) == ("null", True)
    answer = s3.list_object_versions(Bucket=bucket)
    assert (markers(answer), versions(answer)) == ([("a", "null", True)], [("a", kept, False)])
    s3.delete_object(Bucket=bucket, Key="a", VersionId="null")
    assert get(s3, bucket) == "kept"


def test_delete_object_by_the_null_version_works_without_versioning(s3: Any, bucket: str, refused: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert get(s3, bucket, "null") == "x"
    s3.delete_object(Bucket=bucket, Key="a", VersionId="null")
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="a")


def test_delete_objects_tells_of_versions_and_markers(s3: Any, versioned: str) -> None:
    first, second = put(s3, versioned, "one"), put(s3, versioned, "two")
    put(s3, versioned, "other", "b")
    marker = s3.delete_object(Bucket=versioned, Key="c")["VersionId"]
    wanted = [
        {"Key": "a", "VersionId": first},
        {"Key": "a", "VersionId": second},
        {"Key": "b"},
        {"Key": "c", "VersionId": marker},
        {"Key": "d", "VersionId": "made-up"},
        {"Key": "e", "VersionId": "0" * 32},
    ]
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": wanted})
    created = answer["Deleted"][2].pop("DeleteMarkerVersionId")
    assert answer["Deleted"] == [
        {"Key": "a", "VersionId": first},
        {"Key": "a", "VersionId": second},
        {"Key": "b", "DeleteMarker": True},
        {"Key": "c", "VersionId": marker, "DeleteMarker": True, "DeleteMarkerVersionId": marker},
        {"Key": "e", "VersionId": "0" * 32},
    ]
    (error,) = answer["Errors"]
    assert (error["Key"], error["VersionId"], error["Code"]) == ("d", "made-up", "InvalidArgument")
    assert markers(s3.list_object_versions(Bucket=versioned)) == [("b", created, True)]


def test_list_object_versions_pages_within_and_between_keys(s3: Any, versioned: str, refused: Any) -> None:
    written: list[tuple[str, str]] = []
    for key in ("a", "b/1", "b/2", "c"):
        of_key = [put(s3, versioned, str(number), key) for number in range(3)]
        of_key.append(s3.delete_object(Bucket=versioned, Key=key)["VersionId"])
        written += [(key, version) for version in reversed(of_key)]
    for size in (1, 2, 3, 5, 100):
        found: list[tuple[str, str, bool]] = []
        more: dict[str, Any] = {}
        while True:
            page = s3.list_object_versions(Bucket=versioned, MaxKeys=size, **more)
            found += sorted(versions(page) + markers(page), key=lambda row: written.index((row[0], row[1])))
            assert page["MaxKeys"] == size
            if not page["IsTruncated"]:
                break
            more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
        assert [(key, version) for key, version, _ in found] == written
        assert [latest for *_, latest in found] == [place % 4 == 0 for place in range(16)]
    page = s3.list_object_versions(Bucket=versioned, KeyMarker="b/1")
    assert {key for key, *_ in versions(page)} == {"b/2", "c"}
    page = s3.list_object_versions(Bucket=versioned, Prefix="b/", KeyMarker="a")
    assert {key for key, *_ in versions(page)} == {"b/1", "b/2"}
    page = s3.list_object_versions(Bucket=versioned, Delimiter="/", MaxKeys=5)
    assert ([row["Prefix"] for row in page["CommonPrefixes"]], page["NextKeyMarker"]) == (["b/"], "b/")
    assert "NextVersionIdMarker" not in page
    page = s3.list_object_versions(Bucket=versioned, Delimiter="/", KeyMarker="b/")
    assert {key for key, *_ in versions(page)} == {"c"}
    assert s3.list_object_versions(Bucket=versioned, MaxKeys=0)["IsTruncated"] is False
    for bad in ({"VersionIdMarker": written[0][1]}, {"KeyMarker": "a", "VersionIdMarker": ""}, {"MaxKeys": -1},
                {"KeyMarker": "a", "VersionIdMarker": "made-up"}):  # fmt: skip
        with refused("InvalidArgument", 400):
            s3.list_object_versions(Bucket=versioned, **bad)


def test_list_object_versions_encodes_keys_when_asked(another: Any, versioned: str) -> None:
    s3 = another()
    put(s3, versioned, "x", "a b/ü+1")
    s3.meta.events.unregister("after-call.s3.ListObjectVersions")
    plain = s3.list_object_versions(Bucket=versioned, Prefix="a b/")
    assert plain["Versions"][0]["Key"] == "a b/ü+1"
    coded = s3.list_object_versions(Bucket=versioned, Prefix="a b/", EncodingType="url")
    assert (coded["Versions"][0]["Key"], coded["Prefix"]) == ("a%20b/%C3%BC%2B1", "a%20b/")
    entry = coded["Versions"][0]
    assert (entry["Size"], entry["ETag"], entry["StorageClass"]) == (
        1,
        '"9dd4e461268c8034f5c8564e155c67a6"',
        "STANDARD",
    )
    assert (entry["ChecksumAlgorithm"], entry["ChecksumType"]) == (["CRC32"], "FULL_OBJECT")


def test_copy_object_of_a_version_and_back_onto_its_key(s3: Any, versioned: str, refused: Any) -> None:
    first, second = put(s3, versioned, "one"), put(s3, versioned, "two")
    source = {"Bucket": versioned, "Key": "a"}
    copied = s3.copy_object(Bucket=versioned, Key="b", CopySource={**source, "VersionId": first})
    assert copied["CopySourceVersionId"] == first
    assert get(s3, versioned, copied["VersionId"], "b") == "one"
    back = s3.copy_object(Bucket=versioned, Key="a", CopySource={**source, "VersionId": first})
    assert back["VersionId"] not in (first, second)
    assert (get(s3, versioned), get(s3, versioned, second)) == ("one", "two")
    with refused("InvalidRequest", 400):
        s3.copy_object(Bucket=versioned, Key="a", CopySource=source)
    marker = s3.delete_object(Bucket=versioned, Key="a")["VersionId"]
    with refused("NoSuchKey", 404):
        s3.copy_object(Bucket=versioned, Key="c", CopySource=source)
    with refused("InvalidRequest", 400):
        s3.copy_object(Bucket=versioned, Key="c", CopySource={**source, "VersionId": marker})


def test_upload_part_copy_and_complete_multipart_upload_of_versions(s3: Any, versioned: str) -> None:
    first = put(s3, versioned, "one")
    put(s3, versioned, "two")
    place = {"Bucket": versioned, "Key": "joined"}
    upload = s3.create_multipart_upload(**place)["UploadId"]
    part = s3.upload_part_copy(
        **place, UploadId=upload, PartNumber=1, CopySource={"Bucket": versioned, "Key": "a", "VersionId": first}
    )
    assert part["CopySourceVersionId"] == first
    parts = [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]
    done = s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    assert get(s3, versioned, done["VersionId"], "joined") == "one"


def test_delete_bucket_is_refused_while_versions_remain(s3: Any, versioned: str, refused: Any) -> None:
    version = put(s3, versioned, "x")
    marker = s3.delete_object(Bucket=versioned, Key="a")["VersionId"]
    for left in (version, marker):
        with refused("BucketNotEmpty", 409):
            s3.delete_bucket(Bucket=versioned)
        s3.delete_object(Bucket=versioned, Key="a", VersionId=left)
    s3.delete_bucket(Bucket=versioned)


def test_conditional_writes_look_at_the_newest_version(s3: Any, versioned: str, refused: Any) -> None:
    put(s3, versioned, "one")
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=versioned, Key="a", Body=b"x", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.delete_object(Bucket=versioned, Key="a", IfMatch='"0"')
    s3.delete_object(Bucket=versioned, Key="a")
    s3.put_object(Bucket=versioned, Key="a", Body=b"x", IfNoneMatch="*")
    assert get(s3, versioned) == "x"
