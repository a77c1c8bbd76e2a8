"""Encryption headers: kept and shown as they were sent, and a customer's key opens what it closed. Not encryption itself."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Any

import pytest

SHOWN = ("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled", "SSECustomerAlgorithm")


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in SHOWN if name in answer}


def customer(key: bytes, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}SSECustomerAlgorithm": "AES256", f"{prefix}SSECustomerKey": key}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"ServerSideEncryption": "AES256"},
        {"ServerSideEncryption": "aws:kms"},
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/mine", "BucketKeyEnabled": True},
        {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": "arn:aws:kms:us-east-1:111111111111:key/k"},
    ],
)
def test_put_object_keeps_the_encryption_that_it_asks_for(s3: Any, bucket: str, asked: dict[str, Any]) -> None:
    assert shown(s3.put_object(Bucket=bucket, Key="a", Body=b"x", **asked)) == asked
    assert shown(s3.get_object(Bucket=bucket, Key="a")) == asked
    assert shown(s3.head_object(Bucket=bucket, Key="a")) == asked
    place = {"Bucket": bucket, "Key": "b"}
    upload = s3.create_multipart_upload(**place, **asked)
    assert shown(upload) == asked
    part = s3.upload_part(**place, UploadId=upload["UploadId"], PartNumber=1, Body=b"x")
    assert shown(part) == asked
    parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}]
    done = s3.complete_multipart_upload(**place, UploadId=upload["UploadId"], MultipartUpload={"Parts": parts})
    assert shown(done) == asked
    copied = s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "a"})
    assert shown(copied) == {}
    copied = s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "a"}, **asked)
    assert shown(copied) == asked


def test_the_default_of_the_bucket_counts_where_the_request_says_nothing(s3: Any, bucket: str) -> None:
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/team"},
        "BucketKeyEnabled": True,
    }
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    expected = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/team", "BucketKeyEnabled": True}
    assert shown(s3.put_object(Bucket=bucket, Key="a", Body=b"x")) == expected
    assert shown(s3.head_object(Bucket=bucket, Key="a")) == expected
    own = s3.put_object(Bucket=bucket, Key="b", Body=b"x", ServerSideEncryption="AES256")
    assert shown(own) == {"ServerSideEncryption": "AES256"}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"SSEKMSKeyId": "k"}, "InvalidArgument"),
        ({"ServerSideEncryption": "AES256", "SSEKMSKeyId": "k"}, "InvalidArgument"),
        ({"ServerSideEncryption": "aws:kms", "SSEKMSEncryptionContext": "no base64"}, "InvalidArgument"),
        ({"ServerSideEncryption": "aws:kms", "SSEKMSEncryptionContext": "W10="}, "InvalidArgument"),  # a list
        ({"ServerSideEncryption": "aws:fsx"}, "InvalidArgument"),
        ({"ServerSideEncryption": "AES256", **customer(bytes(32))}, "InvalidArgument"),
        (customer(bytes(31)), "InvalidArgument"),
        ({"SSECustomerAlgorithm": "AES256"}, "InvalidArgument"),
        ({"SSECustomerKey": bytes(32)}, "InvalidArgument"),
        ({**customer(bytes(32)), "SSECustomerAlgorithm": "AES128"}, "InvalidEncryptionAlgorithmError"),
        (
            {
                "SSECustomerAlgorithm": "AES256",
                "SSECustomerKey": base64.b64encode(bytes(32)).decode(),
                "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(b"other").digest()).decode(),
            },
            "InvalidArgument",
        ),
    ],
)
def test_put_object_refuses_encryption_headers_that_make_no_sense(
    s3: Any, bucket: str, refused: Any, asked: dict[str, Any], code: str
) -> None:
    with refused(code, 400):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", **asked)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_get_object_of_a_customers_key_needs_that_key(s3: Any, bucket: str, refused: Any) -> None:
    key, other = os.urandom(32), os.urandom(32)
    put = s3.put_object(Bucket=bucket, Key="a", Body=b"secret", **customer(key))
    assert put["SSECustomerKeyMD5"] == base64.b64encode(hashlib.md5(key).digest()).decode()
    got = s3.get_object(Bucket=bucket, Key="a", **customer(key))
    assert (got["Body"].read(), got["SSECustomerAlgorithm"]) == (b"secret", "AES256")
    assert s3.head_object(Bucket=bucket, Key="a", **customer(key))["SSECustomerKeyMD5"] == put["SSECustomerKeyMD5"]
    with refused("InvalidRequest", 400):
        s3.get_object(Bucket=bucket, Key="a")
    with refused("400", 400):
        s3.head_object(Bucket=bucket, Key="a")
    with refused("InvalidRequest", 400):
        s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=["ETag"])
    with refused("AccessDenied", 403):
        s3.get_object(Bucket=bucket, Key="a", **customer(other))
    s3.put_object(Bucket=bucket, Key="open", Body=b"x")
    with refused("InvalidRequest", 400):
        s3.get_object(Bucket=bucket, Key="open", **customer(key))


def test_copy_object_between_customers_keys(s3: Any, bucket: str, refused: Any) -> None:
    key, other = os.urandom(32), os.urandom(32)
    source = {"Bucket": bucket, "Key": "a"}
    s3.put_object(**source, Body=b"secret", **customer(key))
    for wrong, code, status in (({}, "InvalidRequest", 400), (customer(other, "CopySource"), "AccessDenied", 403)):
        with refused(code, status):
            s3.copy_object(Bucket=bucket, Key="b", CopySource=source, **wrong)
    s3.copy_object(Bucket=bucket, Key="b", CopySource=source, **customer(key, "CopySource"), **customer(other))
    assert s3.get_object(Bucket=bucket, Key="b", **customer(other))["Body"].read() == b"secret"
    s3.copy_object(**source, CopySource=source, **customer(key, "CopySource"), **customer(other))  # a new key: a change
    assert s3.get_object(**source, **customer(other))["Body"].read() == b"secret"


def test_upload_part_needs_the_key_that_the_upload_began_with(s3: Any, bucket: str, refused: Any) -> None:
    key, other = os.urandom(32), os.urandom(32)
    place = {"Bucket": bucket, "Key": "a"}
    upload = s3.create_multipart_upload(**place, **customer(key))["UploadId"]
    for wrong in ({}, customer(other)):
        with refused("InvalidRequest", 400):
            s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x", **wrong)
    part = s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x", **customer(key))
    parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}]
    s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(**place, **customer(key))["Body"].read() == b"x"
    with refused("InvalidRequest", 400):
        s3.get_object(**place)
