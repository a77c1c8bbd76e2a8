"""Objects through boto3: bytes, attributes, ranges, conditions, checksums, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest


def test_put_object_is_read_back_by_get_object_and_head_object(s3: Any, bucket: str) -> None:
    expires = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    described = {
        "ContentType": "text/csv",
        "CacheControl": "no-cache",
        "ContentDisposition": "attachment",
        "ContentEncoding": "gzip",
        "ContentLanguage": "ja",
        "Expires": expires,
        "StorageClass": "STANDARD_IA",
        "Metadata": {"colour": "blue", "Two-Words": "x y"},
    }
    tag = s3.put_object(Bucket=bucket, Key="a/b.csv", Body=b"1,2,3", **described)["ETag"]
    assert tag == f'"{hashlib.md5(b"1,2,3").hexdigest()}"'
    for answer in (s3.get_object(Bucket=bucket, Key="a/b.csv"), s3.head_object(Bucket=bucket, Key="a/b.csv")):
        for member in (
            "ContentType",
            "CacheControl",
            "ContentDisposition",
            "ContentEncoding",
            "ContentLanguage",
            "StorageClass",
        ):
            assert answer[member] == described[member]
        assert answer["Metadata"] == {"colour": "blue", "two-words": "x y"}
        assert (answer["ETag"], answer["ContentLength"], answer["AcceptRanges"]) == (tag, 5, "bytes")
        assert answer["ExpiresString"].startswith("Wed, 02 Jan 2030 03:04:05")
        assert datetime.now(UTC) - answer["LastModified"] < timedelta(seconds=30)
    assert s3.get_object(Bucket=bucket, Key="a/b.csv")["Body"].read() == b"1,2,3"


@pytest.mark.parametrize("size", [0, 1, 4096, 64 * 1024, 64 * 1024 + 1, 256 * 1024 + 1, 3_000_000])
def test_put_object_and_get_object_keep_every_size(s3: Any, bucket: str, size: int) -> None:
    data = bytes(index * 7 % 251 for index in range(1000)) * (size // 1000 + 1)
    s3.put_object(Bucket=bucket, Key="a", Body=data[:size])
    answer = s3.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert answer["Body"].read() == data[:size]
    assert "ChecksumCRC32" in answer
    assert s3.head_object(Bucket=bucket, Key="a")["ContentLength"] == size


@pytest.mark.parametrize(
    "key", ["a b+c%20d", "é/中/\U0001f600", "a//b", "/lead", "trail/", "a?b#c&d=e", "..", "a/../b", "x" * 1024, "\x01"]
)
def test_put_object_takes_any_key(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]


def test_put_object_refuses_bad_input_and_stores_nothing(s3: Any, bucket: str, refused: Any) -> None:
    with refused("KeyTooLongError", 400) as error:
        s3.put_object(Bucket=bucket, Key="x" * 1025, Body=b"")
    assert error["Error"]["MaxSizeAllowed"] == "1024"
    with refused("MetadataTooLarge", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=b"", Metadata={"m": "x" * 2048})
    s3.put_object(Bucket=bucket, Key="limit", Body=b"", Metadata={"m": "x" * 2047})
    s3.delete_object(Bucket=bucket, Key="limit")
    with refused("InvalidStorageClass", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=b"", StorageClass="GLACIER")
    with refused("NoSuchBucket", 404):
        s3.put_object(Bucket="no-such-bucket-at-all", Key="a", Body=b"")
    with refused("InvalidDigest", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", ContentMD5="short")
    with refused("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", ContentMD5=base64.b64encode(bytes(16)).decode())
    with refused("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", ChecksumSHA256=base64.b64encode(bytes(32)).decode())
    with refused("InvalidRequest", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", ChecksumCRC32="not base64")
    with refused("AccessDenied", 403):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", ExpectedBucketOwner="999999999999")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize(
    "extra",
    [
        {"ObjectLockEventHold": "ON"},
        {"WriteOffsetBytes": 5},
    ],
)
def test_put_object_refuses_what_would_protect(s3: Any, bucket: str, refused: Any, extra: dict[str, Any]) -> None:
    with refused("NotImplemented", 501) as error:
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", **extra)
    assert next(iter(extra)) in error["Error"]["Message"]
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_an_object_that_did_not_change_is_answered_with_its_tag(s3: Any, bucket: str, refused: Any) -> None:
    tag = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]
    with refused("304", 304) as error:
        s3.get_object(Bucket=bucket, Key="a", IfNoneMatch=tag)
    assert error["ResponseMetadata"]["HTTPHeaders"]["etag"] == tag


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_put_object_keeps_the_checksum_that_get_object_shows(s3: Any, bucket: str, algorithm: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="a", Body=b"123456789", ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"123456789"
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    assert got["ChecksumType"] == "FULL_OBJECT"
    ranged = s3.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED", Range="bytes=1-3")
    assert ranged["Body"].read() == b"234"
    assert f"Checksum{algorithm}" not in ranged
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["ChecksumAlgorithm"] == [algorithm]


@pytest.mark.parametrize("size", [10, 700_000])
def test_get_object_ranges(s3: Any, bucket: str, refused: Any, size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    s3.put_object(Bucket=bucket, Key="a", Body=data)
    for header, first, last in (
        ("bytes=0-0", 0, 0),
        ("bytes=2-5", 2, 5),
        ("bytes=5-", 5, size - 1),
        ("bytes=-3", size - 3, size - 1),
        (f"bytes=-{size * 2}", 0, size - 1),
        (f"bytes=7-{size * 2}", 7, size - 1),
    ):
        answer = s3.get_object(Bucket=bucket, Key="a", Range=header)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert answer["ContentRange"] == f"bytes {first}-{last}/{size}"
        assert answer["Body"].read() == data[first : last + 1]
        assert s3.head_object(Bucket=bucket, Key="a", Range=header)["ContentLength"] == last + 1 - first
    for header in ("bytes=0-1,3-4", "bytes=5-2", "lines=1-2", "nonsense"):
        answer = s3.get_object(Bucket=bucket, Key="a", Range=header)
        assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Body"].read()) == (200, data)
    for header in (f"bytes={size}-", "bytes=-0"):
        with refused("InvalidRange", 416) as error:
            s3.get_object(Bucket=bucket, Key="a", Range=header)
        assert error["Error"]["ActualObjectSize"] == str(size)


def test_get_object_conditions_and_their_precedence(s3: Any, bucket: str, refused: Any) -> None:
    tag = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="a")["LastModified"]
    hour, other = timedelta(hours=1), '"0123"'
    get = lambda **headers: s3.get_object(Bucket=bucket, Key="a", **headers)["Body"].read()  # noqa: E731
    for headers in (
        {"IfMatch": tag},
        {"IfMatch": "*"},
        {"IfMatch": f"{other}, {tag}"},
        {"IfNoneMatch": other},
        {"IfUnmodifiedSince": modified},
        {"IfModifiedSince": modified - hour},
        {"IfModifiedSince": modified + hour},  # a date in the future is ignored
        {"IfMatch": tag, "IfUnmodifiedSince": modified - hour},  # If-Match wins
        {"IfNoneMatch": other, "IfModifiedSince": modified},  # If-None-Match wins
    ):
        assert get(**headers) == b"x", headers
    for headers in ({"IfMatch": other}, {"IfUnmodifiedSince": modified - hour}, {"IfMatch": other, "IfNoneMatch": tag}):
        with refused("PreconditionFailed", 412):
            get(**headers)
    for headers in (
        {"IfNoneMatch": tag},
        {"IfNoneMatch": "*"},
        {"IfModifiedSince": modified},
        {"IfNoneMatch": tag, "IfModifiedSince": modified - hour},
    ):
        with refused("304", 304):
            get(**headers)
        with refused("304", 304):
            s3.head_object(Bucket=bucket, Key="a", **headers)
    with refused("412", 412):
        s3.head_object(Bucket=bucket, Key="a", IfMatch=other)


def test_put_object_conditions(s3: Any, bucket: str, refused: Any) -> None:
    with refused("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="a", Body=b"1", IfMatch='"0123"')
    tag = s3.put_object(Bucket=bucket, Key="a", Body=b"1", IfNoneMatch="*")["ETag"]
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfMatch='"0123"')
    with refused("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfNoneMatch=tag)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"1"
    s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfMatch=tag)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"2"


def test_put_object_by_many_writers_with_a_condition_lets_one_through(s3: Any, bucket: str) -> None:
    statuses: list[int] = []

    def write(number: int) -> None:
        try:
            answer = s3.put_object(Bucket=bucket, Key="lock", Body=b"%d" % number, IfNoneMatch="*")
        except s3.exceptions.ClientError as error:
            answer = error.response
        statuses.append(answer["ResponseMetadata"]["HTTPStatusCode"])

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [412] * 7


def test_get_object_overrides_headers(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ContentType="a/b")
    answer = s3.get_object(
        Bucket=bucket, Key="a", ResponseContentType="text/plain", ResponseContentDisposition="inline",
        ResponseCacheControl="no-store", ResponseContentLanguage="de", ResponseContentEncoding="identity",
        ResponseExpires=datetime(2031, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    assert (answer["ContentType"], answer["ContentDisposition"], answer["CacheControl"]) == (
        "text/plain",
        "inline",
        "no-store",
    )
    assert (answer["ContentLanguage"], answer["ContentEncoding"]) == ("de", "identity")
    assert answer["ExpiresString"].startswith("Wed, 01 Jan 2031")


def test_get_object_of_nothing(s3: Any, bucket: str, refused: Any) -> None:
    with refused("NoSuchKey", 404) as error:
        s3.get_object(Bucket=bucket, Key="a/b")
    assert error["Error"]["Key"] == "a/b"
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="a/b")
    with refused("NoSuchBucket", 404):
        s3.get_object(Bucket="no-such-bucket-at-all", Key="a")
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with refused("InvalidArgument", 400):
        s3.get_object(Bucket=bucket, Key="a", VersionId="v1")
    with refused("NoSuchVersion", 404):
        s3.get_object(Bucket=bucket, Key="a", VersionId="0" * 32)
    with refused("InvalidPartNumber", 416):
        s3.get_object(Bucket=bucket, Key="a", PartNumber=2)
    with refused("InvalidRequest", 400):
        s3.get_object(Bucket=bucket, Key="a", PartNumber=1, Range="bytes=0-0")


def test_get_object_during_an_overwrite_is_one_version_or_the_other(s3: Any, bucket: str) -> None:
    size = 1_000_000
    s3.put_object(Bucket=bucket, Key="a", Body=bytes(size))
    stop = threading.Event()

    def overwrite() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            s3.put_object(Bucket=bucket, Key="a", Body=bytes([number % 256]) * size)

    writer = threading.Thread(target=overwrite)
    writer.start()
    try:
        for _ in range(20):
            data = s3.get_object(Bucket=bucket, Key="a")["Body"].read()
            assert len(data) == size
            assert len(set(data)) == 1
    finally:
        stop.set()
        writer.join()


def test_delete_object_is_idempotent_and_conditional(s3: Any, bucket: str, refused: Any) -> None:
    tag = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]
    with refused("PreconditionFailed", 412):
        s3.delete_object(Bucket=bucket, Key="a", IfMatch='"0123"')
    s3.delete_object(Bucket=bucket, Key="a", IfMatch=tag)
    assert s3.delete_object(Bucket=bucket, Key="a")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused("NoSuchBucket", 404):
        s3.delete_object(Bucket="no-such-bucket-at-all", Key="a")


def test_delete_objects_tells_of_each_key(s3: Any, bucket: str, refused: Any) -> None:
    for key in ("a", "b", "c<&>é"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    wanted = [{"Key": "a"}, {"Key": "never"}, {"Key": "c<&>é"}, {"Key": "b", "ETag": '"0123"'}, {"Key": "x" * 1025}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    assert sorted(found["Key"] for found in answer["Deleted"]) == ["a", "c<&>é", "never"]
    assert {found["Key"]: found["Code"] for found in answer["Errors"]} == {
        "b": "PreconditionFailed",
        "x" * 1025: "KeyTooLongError",
    }
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["b"]
    assert "Deleted" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b"}], "Quiet": True})
    with refused("MalformedXML", 400):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": str(number)} for number in range(1001)]})
    with refused("NoSuchBucket", 404):
        s3.delete_objects(Bucket="no-such-bucket-at-all", Delete={"Objects": [{"Key": "a"}]})


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_presigned_put_object_and_get_object(another: Any, bucket: str, version: str | None) -> None:
    s3 = another(**({"signature_version": version} if version else {}))
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b/é"}, ExpiresIn=60)
    request = urllib.request.Request(url, data=b"by address", method="PUT", headers={"Content-Type": ""})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/é"}, ExpiresIn=60)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"by address"
    with pytest.raises(urllib.error.HTTPError) as forged:
        urllib.request.urlopen(url.replace("a%20b", "a%20c"))
    assert forged.value.code == 403
    forged.value.close()


def test_put_object_whose_body_is_not_the_signed_one_is_refused(another: Any, bucket: str, refused: Any) -> None:
    s3 = another()

    def tamper(request: Any, **_: Any) -> None:
        request.body = b"y"

    s3.meta.events.register("before-send.s3.PutObject", tamper)
    with refused("XAmzContentSHA256Mismatch", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_put_object_without_default_checksums(another: Any, bucket: str) -> None:
    s3 = another(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    answer = s3.put_object(Bucket=bucket, Key="a", Body=b"123456789")
    assert "ChecksumCRC32" not in answer
    assert (answer["ChecksumCRC64NVME"], answer["ChecksumType"]) == ("rosUhgp5mIg=", "FULL_OBJECT")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"123456789"


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_put_object_with_a_checksum_in_the_trailer(another: Any, bucket: str, refused: Any, size: int) -> None:
    s3, data = another(), bytes(index % 253 for index in range(1000)) * (size // 1000 + 1)

    def trail(params: dict[str, Any], **_: Any) -> None:
        params["context"]["checksum"]["request_algorithm"]["in"] = "trailer"  # as boto3 does over https

    s3.meta.events.register("before-call.s3.PutObject", trail)
    put = s3.put_object(
        Bucket=bucket, Key="a", Body=io.BytesIO(data[:size]), ChecksumAlgorithm="SHA256", ContentEncoding="gzip"
    )
    assert put["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(data[:size]).digest()).decode()
    got = s3.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got["ContentEncoding"], got["ChecksumSHA256"]) == (
        data[:size],
        "gzip",
        put["ChecksumSHA256"],
    )

    def tamper(request: Any, **_: Any) -> None:
        wrong = request.body.read().replace(put["ChecksumSHA256"].encode(), base64.b64encode(bytes(32)))
        request.body = io.BytesIO(wrong)

    s3.meta.events.register("before-send.s3.PutObject", tamper)
    with refused("BadDigest", 400):
        s3.put_object(Bucket=bucket, Key="a", Body=io.BytesIO(data[:size]), ChecksumAlgorithm="SHA256")


def test_get_object_ignores_a_range_of_absurd_length(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert s3.get_object(Bucket=bucket, Key="a", Range=f"bytes=0-{'9' * 5000}")["Body"].read() == b"x"


def test_get_object_understands_ranges_beyond_all_sizes(s3: Any, bucket: str, refused: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"xyz")
    found = s3.get_object(Bucket=bucket, Key="a", Range=f"bytes=1-{'9' * 30}")
    assert (found["Body"].read(), found["ContentRange"]) == (b"yz", "bytes 1-2/3")
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="a", Range=f"bytes={'9' * 30}-")


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_presigned_list_objects_v2(another: Any, bucket: str, version: str, slash: str) -> None:
    url = another(signature_version=version).generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
    if version == "s3":  # the path of a bucket is signed with a slash, whether it is sent with one or not
        url = url.replace(f"/{bucket}?", f"/{bucket}{slash}?")
    with urllib.request.urlopen(url) as answer:
        assert b"<KeyCount>0</KeyCount>" in answer.read()
