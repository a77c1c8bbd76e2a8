"""Tags of objects: by operation, by header, through copies and uploads, of versions."""

from __future__ import annotations

from typing import Any

import pytest


def tagging(**tags: str) -> dict[str, Any]:
    return {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}


def tags_of(s3: Any, bucket: str, key: str = "a", **more: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket=bucket, Key=key, **more)["TagSet"]}


def test_put_object_tagging_get_object_tagging_and_delete_object_tagging(s3: Any, bucket: str) -> None:
    before = s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert tags_of(s3, bucket) == {}
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging=tagging(colour="blue", size="s +-=._:/@ 9"))
    assert tags_of(s3, bucket) == {"colour": "blue", "size": "s +-=._:/@ 9"}
    head = s3.head_object(Bucket=bucket, Key="a")
    assert (head["TagCount"], head["ETag"]) == (2, before["ETag"])
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging=tagging(other=""))
    assert tags_of(s3, bucket) == {"other": ""}
    s3.delete_object_tagging(Bucket=bucket, Key="a")
    assert tags_of(s3, bucket) == {}
    assert "TagCount" not in s3.get_object(Bucket=bucket, Key="a")


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([("k" * 129, "v")], "InvalidTag"),
        ([("k\n?", "v")], "InvalidTag"),
        ([("k", "v" * 257)], "InvalidTag"),
        ([("k", "a?b")], "InvalidTag"),
        ([("aws:mine", "v")], "InvalidTag"),
        ([("k", "1"), ("k", "2")], "InvalidTag"),
        ([(f"k{number}", "v") for number in range(11)], "BadRequest"),
    ],
)
def test_put_object_tagging_refuses_what_breaks_the_rules(
    s3: Any, bucket: str, refused: Any, tags: list[tuple[str, str]], code: str
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="kept=yes")
    with refused(code, 400):
        s3.put_object_tagging(
            Bucket=bucket, Key="a", Tagging={"TagSet": [{"Key": name, "Value": value} for name, value in tags]}
        )
    assert tags_of(s3, bucket) == {"kept": "yes"}


def test_the_longest_tags_are_accepted(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    most = {f"{number}{'k' * 127}": "ü" * 256 for number in range(10)}
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging=tagging(**most))
    assert tags_of(s3, bucket) == most


def test_put_object_takes_tags_from_its_header(s3: Any, bucket: str, refused: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="colour=blue&empty=&sp%20ace=a%2Fb")
    assert tags_of(s3, bucket) == {"colour": "blue", "empty": "", "sp ace": "a/b"}
    for header in ("a=1&a=2", "nothing", "a=%FF", "&"):
        with refused("InvalidArgument", 400):
            s3.put_object(Bucket=bucket, Key="b", Body=b"x", Tagging=header)
    with refused("NoSuchKey", 404):
        s3.get_object_tagging(Bucket=bucket, Key="b")
    with refused("NoSuchKey", 404):
        s3.put_object_tagging(Bucket=bucket, Key="b", Tagging=tagging(a="b"))
    with refused("NoSuchKey", 404):
        s3.delete_object_tagging(Bucket=bucket, Key="b")


def test_copy_object_copies_tags_or_replaces_them(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="from=source", Metadata={"m": "1"})
    source = {"Bucket": bucket, "Key": "a"}
    s3.copy_object(Bucket=bucket, Key="b", CopySource=source, MetadataDirective="REPLACE")
    assert tags_of(s3, bucket, "b") == {"from": "source"}
    s3.copy_object(Bucket=bucket, Key="c", CopySource=source, TaggingDirective="REPLACE", Tagging="from=request")
    assert tags_of(s3, bucket, "c") == {"from": "request"}
    assert s3.head_object(Bucket=bucket, Key="c")["Metadata"] == {"m": "1"}
    s3.copy_object(Bucket=bucket, Key="d", CopySource=source, TaggingDirective="REPLACE")
    assert tags_of(s3, bucket, "d") == {}


def test_create_multipart_upload_takes_tags_for_the_object(s3: Any, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "a"}
    upload = s3.create_multipart_upload(**place, Tagging="from=upload")["UploadId"]
    part = s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x")
    parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}]
    s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    assert tags_of(s3, bucket) == {"from": "upload"}


def test_tags_belong_to_one_version(s3: Any, bucket: str, refused: Any) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=bucket, Key="a", Body=b"1", Tagging="age=old")["VersionId"]
    new = s3.put_object(Bucket=bucket, Key="a", Body=b"2")["VersionId"]
    assert s3.put_object_tagging(Bucket=bucket, Key="a", Tagging=tagging(age="new"))["VersionId"] == new
    assert (tags_of(s3, bucket, VersionId=old), tags_of(s3, bucket)) == ({"age": "old"}, {"age": "new"})
    assert s3.delete_object_tagging(Bucket=bucket, Key="a", VersionId=old)["VersionId"] == old
    assert (tags_of(s3, bucket, VersionId=old), tags_of(s3, bucket)) == ({}, {"age": "new"})
    marker = s3.delete_object(Bucket=bucket, Key="a")["VersionId"]
    with refused("MethodNotAllowed", 405):
        s3.get_object_tagging(Bucket=bucket, Key="a", VersionId=marker)
