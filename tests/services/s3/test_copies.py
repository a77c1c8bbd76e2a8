"""Copies through boto3: objects, and parts from ranges."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta
from typing import Any

import pytest


@pytest.fixture
def source(s3: Any, bucket: str) -> dict[str, str]:
    s3.put_object(Bucket=bucket, Key="from é/a+b", Body=b"original", ContentType="a/b", Metadata={"m": "1"})
    return {"Bucket": bucket, "Key": "from é/a+b"}


def test_copy_object_keeps_or_replaces_metadata(s3: Any, bucket: str, source: dict[str, str]) -> None:
    answer = s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)["CopyObjectResult"]
    assert answer["ETag"] == f'"{hashlib.md5(b"original").hexdigest()}"'
    s3.copy_object(
        Bucket=bucket, Key="new", CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "2"}, ContentType="c/d"
    )
    kept, new = s3.get_object(Bucket=bucket, Key="kept"), s3.get_object(Bucket=bucket, Key="new")
    assert (kept["ContentType"], kept["Metadata"], kept["Body"].read()) == ("a/b", {"m": "1"}, b"original")
    assert (new["ContentType"], new["Metadata"], new["Body"].read()) == ("c/d", {"n": "2"}, b"original")


def test_copy_object_outlives_its_source(s3: Any, bucket: str, source: dict[str, str]) -> None:
    s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
    s3.put_object(**source, Body=b"changed")
    s3.delete_object(**source)
    assert s3.get_object(Bucket=bucket, Key="kept", ChecksumMode="ENABLED")["Body"].read() == b"original"


def test_copy_object_onto_itself_must_change_something(
    s3: Any, bucket: str, source: dict[str, str], refused: Any
) -> None:
    with refused("InvalidRequest", 400):
        s3.copy_object(**source, CopySource=source)
    s3.copy_object(**source, CopySource=source, MetadataDirective="REPLACE", Metadata={"m": "2"})
    answer = s3.get_object(**source)
    assert (answer["Metadata"], answer["Body"].read()) == ({"m": "2"}, b"original")


def test_copy_object_computes_a_checksum_that_is_asked_for(s3: Any, bucket: str, source: dict[str, str]) -> None:
    answer = s3.copy_object(Bucket=bucket, Key="b", CopySource=source, ChecksumAlgorithm="SHA256")["CopyObjectResult"]
    s3.put_object(Bucket=bucket, Key="c", Body=b"original", ChecksumAlgorithm="SHA256")
    assert answer["ChecksumSHA256"] == s3.head_object(Bucket=bucket, Key="c", ChecksumMode="ENABLED")["ChecksumSHA256"]


def test_copy_object_refuses_bad_sources(
    s3: Any, bucket: str, source: dict[str, str], another: Any, server: Any, refused: Any
) -> None:
    with refused("NoSuchKey", 404):
        s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "absent"})
    with refused("NoSuchBucket", 404):
        s3.copy_object(Bucket=bucket, Key="b", CopySource="no-such-bucket-at-all/a")
    with refused("InvalidArgument", 400):
        s3.copy_object(Bucket=bucket, Key="b", CopySource="nothing")
    with refused("NoSuchVersion", 404):
        s3.copy_object(Bucket=bucket, Key="b", CopySource={**source, "VersionId": "0" * 32})
    with refused("InvalidArgument", 400):
        s3.copy_object(Bucket=bucket, Key="b", CopySource={**source, "VersionId": "v"})
    stranger = another(server.new_account())
    theirs = f"{bucket[:40]}-theirs"
    stranger.create_bucket(Bucket=theirs)
    with refused("AccessDenied", 403):
        stranger.copy_object(Bucket=theirs, Key="b", CopySource=source)


def test_copy_object_conditions_on_source_and_destination(
    s3: Any, bucket: str, source: dict[str, str], refused: Any
) -> None:
    head = s3.head_object(**source)
    s3.copy_object(Bucket=bucket, Key="b", CopySource=source, CopySourceIfMatch=head["ETag"])
    for condition in (
        {"CopySourceIfMatch": '"0"'},
        {"CopySourceIfNoneMatch": head["ETag"]},
        {"CopySourceIfModifiedSince": head["LastModified"]},
        {"CopySourceIfUnmodifiedSince": head["LastModified"] - timedelta(hours=1)},
        {"IfNoneMatch": "*"},
    ):
        with refused("PreconditionFailed", 412):
            s3.copy_object(Bucket=bucket, Key="b", CopySource=source, **condition)


def test_upload_part_copy_takes_ranges(s3: Any, bucket: str, refused: Any) -> None:
    data = os.urandom(6 * 1024 * 1024)
    s3.put_object(Bucket=bucket, Key="a", Body=data)
    source = {"Bucket": bucket, "Key": "a"}
    place = {"Bucket": bucket, "Key": "b"}
    upload = s3.create_multipart_upload(**place)["UploadId"]
    cut = 5 * 1024 * 1024
    parts = []
    for number, span in ((1, f"bytes=0-{cut - 1}"), (2, f"bytes={cut}-{len(data) - 1}")):
        answer = s3.upload_part_copy(
            **place, UploadId=upload, PartNumber=number, CopySource=source, CopySourceRange=span
        )
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    for span, code, status in (
        ("bytes=5-", "InvalidArgument", 400),
        ("nonsense", "InvalidArgument", 400),
        (f"bytes=0-{len(data)}", "InvalidRange", 416),
        ("bytes=5-4", "InvalidRange", 416),
    ):
        with refused(code, status):
            s3.upload_part_copy(**place, UploadId=upload, PartNumber=3, CopySource=source, CopySourceRange=span)
    with refused("NoSuchUpload", 404):
        s3.upload_part_copy(**place, UploadId="none", PartNumber=3, CopySource=source)
    s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(**place)["Body"].read() == data


def _copied(another: Any, bucket: str, header: str) -> Any:
    s3 = another()
    s3.meta.events.register(
        "before-call.s3.CopyObject", lambda params, **_: params["headers"].update({"x-amz-copy-source": header})
    )
    return s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "x"})


def test_copy_object_takes_a_source_that_is_encoded_with_its_slash(
    s3: Any, another: Any, bucket: str, source: dict[str, str], refused: Any
) -> None:
    for header in (f"{bucket}%2Ffrom%20%C3%A9%2Fa%2Bb", f"%2F{bucket}/from%20%C3%A9/a%2Bb"):
        _copied(another, bucket, header)
        assert s3.get_object(Bucket=bucket, Key="to")["Body"].read() == b"original"
        s3.delete_object(Bucket=bucket, Key="to")
    for header in (f"{bucket}/a%ff", bucket, f"{bucket}/", "/", "%2F"):
        with refused("InvalidArgument", 400):
            _copied(another, bucket, header)
