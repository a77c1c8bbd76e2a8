"""Digests of bodies that are documents: Content-MD5 and checksums of DeleteObjects, tags and configurations, by raw requests."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

DELETE = b"<Delete><Object><Key>a</Key></Object></Delete>"
TAGS = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"
Call = Callable[..., urllib3.BaseHTTPResponse]


@pytest.fixture
def call(server: Any) -> Iterator[Call]:
    """`call("POST", "/bucket?delete", body, header=value)`: a signed request, as no SDK would send it."""
    with urllib3.PoolManager() as pool:

        def send(method: str, path: str, body: bytes = b"", **headers: str) -> urllib3.BaseHTTPResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            signed = AWSRequest(method, server.endpoint + path, data=body, headers=named)
            S3SigV4Auth(Credentials(server.keys.access_key, server.keys.secret_key), "s3", "us-east-1").add_auth(signed)
            return pool.request(method, server.endpoint + path, body=body, headers=dict(signed.headers), retries=False)

        yield send


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def crc(body: bytes) -> str:
    return text(zlib.crc32(body).to_bytes(4, "big"))


def code(answer: urllib3.BaseHTTPResponse) -> tuple[int, str]:
    return answer.status, answer.data.decode().partition("<Code>")[2].partition("</Code>")[0]


def test_delete_objects_needs_a_digest_that_fits(s3: Any, bucket: str, call: Call) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    where = f"/{bucket}?delete"
    assert code(call("POST", where, DELETE)) == (400, "InvalidRequest")
    assert code(call("POST", where, DELETE, Content_MD5=text(bytes(16)))) == (400, "BadDigest")
    assert code(call("POST", where, DELETE, Content_MD5="short")) == (400, "InvalidDigest")
    assert code(call("POST", where, DELETE, x_amz_checksum_crc32=crc(b"other"))) == (400, "BadDigest")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    assert call("POST", where, DELETE, Content_MD5=text(hashlib.md5(DELETE).digest())).status == 200
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert call("POST", where, DELETE, x_amz_checksum_crc32=crc(DELETE)).status == 200


def test_put_object_tagging_compares_a_digest_that_it_is_given(s3: Any, bucket: str, call: Call) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    where = f"/{bucket}/a?tagging"
    assert code(call("PUT", where, TAGS, Content_MD5=text(bytes(16)))) == (400, "BadDigest")
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == []
    assert call("PUT", where, TAGS, Content_MD5=text(hashlib.md5(TAGS).digest())).status == 200
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "k", "Value": "v"}]


def test_unreadable_documents_and_parameters_are_told_apart(bucket: str, call: Call) -> None:
    for body in (b"<Tagging", b"<Tagging><TagSet><Tag></TagSet></Tagging>"):
        assert code(call("PUT", f"/{bucket}/a?tagging", body)) == (400, "MalformedXML")
    for query in ("max-keys=many", "list-type=2&max-keys=", "list-type=2&max-keys=-1", "versions&max-keys=1.5"):
        assert code(call("GET", f"/{bucket}?{query}")) == (400, "InvalidArgument")
    for query in ("versionId=", "partNumber=one", "versionId=%00"):
        assert code(call("GET", f"/{bucket}/a?{query}")) == (400, "InvalidArgument")
    for token in ("%00", "AAAA", "x", text(b"\0\0\0\0a"), "%C3%BC"):
        assert code(call("GET", f"/{bucket}?list-type=2&continuation-token={token}")) == (400, "InvalidArgument")


def test_dates_of_conditions_that_can_not_be_read_are_ignored(s3: Any, bucket: str, call: Call) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    for name in ("If_Modified_Since", "If_Unmodified_Since"):
        for date in ("yesterday", "Thu, 99 Xxx 2020 00:00:00 GMT", ""):
            answer = call("GET", f"/{bucket}/a", **{name: date})
            assert (answer.status, answer.data) == (200, b"x")
    answer = call("PUT", f"/{bucket}/b", x_amz_copy_source=f"{bucket}/a", x_amz_copy_source_if_modified_since="soon")
    assert answer.status == 200


def test_an_object_that_did_not_change_is_answered_with_what_a_cache_needs(s3: Any, bucket: str, call: Call) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put = s3.put_object(Bucket=bucket, Key="a", Body=b"x", CacheControl="max-age=5")
    answer = call("GET", f"/{bucket}/a", If_None_Match=put["ETag"])
    assert (answer.status, answer.data) == (304, b"")
    found = {name: answer.headers[name] for name in ("etag", "cache-control", "x-amz-version-id")}
    assert found == {"etag": put["ETag"], "cache-control": "max-age=5", "x-amz-version-id": put["VersionId"]}
    assert "last-modified" in answer.headers
