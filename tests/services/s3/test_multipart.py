"""Multipart uploads through boto3."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

MEBIBYTE = 1024 * 1024


@pytest.fixture
def place(bucket: str) -> dict[str, str]:
    return {"Bucket": bucket, "Key": "big é"}


def parts_of(s3: Any, place: dict[str, str], upload: str, *pieces: bytes, **extra: Any) -> list[dict[str, Any]]:
    parts = []
    for number, piece in enumerate(pieces, 1):
        answer = s3.upload_part(**place, UploadId=upload, PartNumber=number, Body=piece, **extra)
        sums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        parts.append({"PartNumber": number, "ETag": answer["ETag"], **sums})
    return parts


def complete(s3: Any, place: dict[str, str], upload: str, parts: list[dict[str, Any]], **extra: Any) -> Any:
    return s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts}, **extra)


def test_upload_file_of_twenty_megabytes_is_multipart_and_comes_back(s3: Any, bucket: str) -> None:
    data = os.urandom(20 * MEBIBYTE + 17)
    config = TransferConfig(multipart_threshold=8 * MEBIBYTE, multipart_chunksize=8 * MEBIBYTE)
    s3.upload_fileobj(io.BytesIO(data), bucket, "a", Config=config, ExtraArgs={"Metadata": {"m": "1"}})
    head = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert head["ETag"].endswith('-3"')
    assert (head["ContentLength"], head["Metadata"]) == (len(data), {"m": "1"})
    target = io.BytesIO()
    s3.download_fileobj(bucket, "a", target, Config=config)
    assert target.getvalue() == data
    part = s3.get_object(Bucket=bucket, Key="a", PartNumber=3)
    assert (part["PartsCount"], part["Body"].read()) == (3, data[16 * MEBIBYTE :])
    copied = s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    assert copied["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'


def test_create_multipart_upload_shows_its_object_only_when_complete(
    s3: Any, place: dict[str, str], refused: Any
) -> None:
    upload = s3.create_multipart_upload(**place, ContentType="a/b")["UploadId"]
    parts = parts_of(s3, place, upload, bytes(5 * MEBIBYTE), b"end")
    with refused("NoSuchKey", 404):
        s3.get_object(**place)
    answer = complete(s3, place, upload, parts)
    assert (answer["Bucket"], answer["Key"]) == (place["Bucket"], place["Key"])
    tags = b"".join(hashlib.md5(piece).digest() for piece in (bytes(5 * MEBIBYTE), b"end"))
    assert answer["ETag"] == f'"{hashlib.md5(tags).hexdigest()}-2"'
    got = s3.get_object(**place)
    assert (got["ContentType"], got["Body"].read()) == ("a/b", bytes(5 * MEBIBYTE) + b"end")


def test_complete_multipart_upload_again_gives_the_same_answer(s3: Any, place: dict[str, str], refused: Any) -> None:
    upload = s3.create_multipart_upload(**place)["UploadId"]
    parts = parts_of(s3, place, upload, b"only")
    first, second = complete(s3, place, upload, parts), complete(s3, place, upload, parts)
    assert first["ETag"] == second["ETag"]
    s3.put_object(**place, Body=b"other")
    with refused("NoSuchUpload", 404):
        complete(s3, place, upload, parts)


def test_complete_multipart_upload_refuses_wrong_lists(s3: Any, place: dict[str, str], refused: Any) -> None:
    upload = s3.create_multipart_upload(**place)["UploadId"]
    parts = parts_of(s3, place, upload, b"small", b"small too")
    with refused("InvalidPartOrder", 400):
        complete(s3, place, upload, parts[::-1])
    with refused("InvalidPart", 400):
        complete(s3, place, upload, [{**parts[0], "ETag": '"0123"'}])
    with refused("InvalidPart", 400):
        complete(s3, place, upload, [{**parts[0], "PartNumber": 7}])
    with refused("EntityTooSmall", 400) as error:
        complete(s3, place, upload, parts)
    assert (error["Error"]["PartNumber"], error["Error"]["ProposedSize"]) == ("1", "5")
    with refused("MalformedXML", 400):
        s3.complete_multipart_upload(**place, UploadId=upload)
    with refused("NoSuchUpload", 404):
        complete(s3, place, "none", parts)
    with refused("InvalidRequest", 400):
        complete(s3, place, upload, parts[:1], MpuObjectSize=4)
    assert len(s3.list_parts(**place, UploadId=upload)["Parts"]) == 2
    complete(s3, place, upload, parts[1:], MpuObjectSize=9)
    assert s3.get_object(**place)["Body"].read() == b"small too"


def test_complete_multipart_upload_conditions(s3: Any, place: dict[str, str], refused: Any) -> None:
    s3.put_object(**place, Body=b"first")
    upload = s3.create_multipart_upload(**place)["UploadId"]
    parts = parts_of(s3, place, upload, b"second")
    with refused("PreconditionFailed", 412):
        complete(s3, place, upload, parts, IfNoneMatch="*")
    assert s3.get_object(**place)["Body"].read() == b"first"
    complete(s3, place, upload, parts, IfMatch=s3.head_object(**place)["ETag"])
    assert s3.get_object(**place)["Body"].read() == b"second"


def test_upload_part_refuses_bad_input(s3: Any, place: dict[str, str], refused: Any) -> None:
    upload = s3.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"]
    for number in (0, 10_001):
        with refused("InvalidArgument", 400):
            s3.upload_part(**place, UploadId=upload, PartNumber=number, Body=b"x")
    with refused("NoSuchUpload", 404):
        s3.upload_part(**place, UploadId="none", PartNumber=1, Body=b"x")
    with refused("InvalidRequest", 400):
        s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="CRC32")
    with refused("BadDigest", 400):
        wrong = base64.b64encode(bytes(16)).decode()
        s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256", ContentMD5=wrong)
    assert "Parts" not in s3.list_parts(**place, UploadId=upload)


def test_upload_part_checksums_make_a_composite_one(s3: Any, place: dict[str, str], refused: Any) -> None:
    created = s3.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")
    assert (created["ChecksumAlgorithm"], created["ChecksumType"]) == ("SHA256", "COMPOSITE")
    pieces = (bytes(5 * MEBIBYTE), b"end")
    parts = parts_of(s3, place, created["UploadId"], *pieces, ChecksumAlgorithm="SHA256")
    whole = hashlib.sha256(b"".join(hashlib.sha256(piece).digest() for piece in pieces)).digest()
    with refused("BadDigest", 400):
        complete(s3, place, created["UploadId"], parts, ChecksumSHA256=base64.b64encode(bytes(32)).decode() + "-2")
    answer = complete(s3, place, created["UploadId"], parts)
    assert (answer["ChecksumSHA256"], answer["ChecksumType"]) == (base64.b64encode(whole).decode() + "-2", "COMPOSITE")
    assert s3.get_object(**place, ChecksumMode="ENABLED")["ChecksumSHA256"] == answer["ChecksumSHA256"]


def test_create_multipart_upload_with_a_checksum_of_the_full_object(
    s3: Any, place: dict[str, str], refused: Any
) -> None:
    upload = s3.create_multipart_upload(**place, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")["UploadId"]
    pieces = (os.urandom(5 * MEBIBYTE), b"end")
    parts = parts_of(s3, place, upload, *pieces, ChecksumAlgorithm="CRC32")
    value = base64.b64encode(zlib.crc32(b"".join(pieces)).to_bytes(4, "big")).decode()
    answer = complete(s3, place, upload, parts, ChecksumCRC32=value, ChecksumType="FULL_OBJECT")
    assert (answer["ChecksumCRC32"], answer["ChecksumType"]) == (value, "FULL_OBJECT")
    with refused("InvalidRequest", 400):
        s3.create_multipart_upload(**place, ChecksumAlgorithm="SHA256", ChecksumType="FULL_OBJECT")
    with refused("InvalidRequest", 400):
        s3.create_multipart_upload(**place, ChecksumAlgorithm="CRC64NVME", ChecksumType="COMPOSITE")


def test_create_multipart_upload_needs_a_bucket(s3: Any, refused: Any) -> None:
    with refused("NoSuchBucket", 404):
        s3.create_multipart_upload(Bucket="no-such-bucket-at-all", Key="a")


def test_abort_multipart_upload_forgets_it(s3: Any, place: dict[str, str], refused: Any) -> None:
    upload = s3.create_multipart_upload(**place)["UploadId"]
    parts_of(s3, place, upload, b"x")
    with refused("PreconditionFailed", 412):
        s3.abort_multipart_upload(**place, UploadId=upload, IfMatchInitiatedTime=datetime(2020, 1, 1, tzinfo=UTC))
    s3.abort_multipart_upload(**place, UploadId=upload)
    with refused("NoSuchUpload", 404) as error:
        s3.abort_multipart_upload(**place, UploadId=upload)
    assert error["Error"]["UploadId"] == upload
    with refused("NoSuchUpload", 404):
        s3.list_parts(**place, UploadId=upload)


def test_list_parts_pages(s3: Any, place: dict[str, str]) -> None:
    upload = s3.create_multipart_upload(**place)["UploadId"]
    parts = parts_of(s3, place, upload, *(b"x" * number for number in range(1, 6)))
    found = (
        s3.get_paginator("list_parts")
        .paginate(**place, UploadId=upload, PaginationConfig={"PageSize": 2})
        .build_full_result()["Parts"]
    )
    assert [(part["PartNumber"], part["ETag"], part["Size"]) for part in found] == [
        (part["PartNumber"], part["ETag"], part["PartNumber"]) for part in parts
    ]
    page = s3.list_parts(**place, UploadId=upload, MaxParts=2, PartNumberMarker=1)
    assert ([part["PartNumber"] for part in page["Parts"]], page["IsTruncated"], page["NextPartNumberMarker"]) == (
        [2, 3],
        True,
        3,
    )


def test_list_multipart_uploads_pages_and_groups(s3: Any, bucket: str, refused: Any) -> None:
    keys = ("a", "b/1", "b/2", "c", "c")
    made = [(key, s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]) for key in keys]
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    found = [(upload["Key"], upload["UploadId"]) for page in pages for upload in page.get("Uploads", [])]
    assert found == sorted(made)
    grouped = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [each["Prefix"] for each in grouped["CommonPrefixes"]] == ["b/"]
    assert [upload["Key"] for upload in grouped["Uploads"]] == ["a", "c", "c"]
    assert [upload["Key"] for upload in s3.list_multipart_uploads(Bucket=bucket, Prefix="b/")["Uploads"]] == [
        "b/1",
        "b/2",
    ]
    with refused("NoSuchBucket", 404):
        s3.list_multipart_uploads(Bucket="no-such-bucket-at-all")
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="a",
        UploadId=made[0][1],
        MultipartUpload={"Parts": parts_of(s3, {"Bucket": bucket, "Key": "a"}, made[0][1], b"x")},
    )
    assert "a" not in [upload["Key"] for upload in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]]


@pytest.mark.parametrize("aborts", [False, True])
def test_complete_multipart_upload_by_several_at_once(s3: Any, place: dict[str, str], aborts: bool) -> None:
    def outcome(call: Any, **arguments: Any) -> str:
        try:
            call(**place, **arguments)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "done"

    for number in range(6):
        upload = s3.create_multipart_upload(**place)["UploadId"]
        listed = {"Parts": parts_of(s3, place, upload, b"%d" % number)}
        with ThreadPoolExecutor(5) as pool:
            told = [
                pool.submit(outcome, s3.complete_multipart_upload, UploadId=upload, MultipartUpload=listed)
                for _ in range(4)
            ]
            ended = pool.submit(outcome, s3.abort_multipart_upload, UploadId=upload) if aborts else None
            outcomes = {each.result() for each in told}
        aborted = ended is not None and ended.result() == "done"
        assert outcomes == ({"NoSuchUpload"} if aborted else {"done"})
        if not aborted:
            assert s3.get_object(**place)["Body"].read() == b"%d" % number
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=place["Bucket"])


def test_get_object_of_a_part_that_no_upload_can_have_is_refused(s3: Any, place: dict[str, str], refused: Any) -> None:
    s3.put_object(**place, Body=b"x")
    for number, expected, status in ((0, "InvalidArgument", 400), (10_001, "InvalidArgument", 400)):
        with refused(expected, status):
            s3.get_object(**place, PartNumber=number)
    with refused("InvalidPartNumber", 416):
        s3.get_object(**place, PartNumber=2)
