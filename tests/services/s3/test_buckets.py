"""Buckets through boto3."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.handlers import validate_bucket_name


@pytest.fixture
def s3(another: Any, account: Any) -> Any:
    """A client in an account without buckets."""
    return another(account)


def name() -> str:
    return f"kenja-{uuid.uuid4().hex}"


def test_create_bucket_makes_one_that_head_bucket_and_list_buckets_see(s3: Any) -> None:
    one, two = sorted([name(), name()])
    assert s3.create_bucket(Bucket=one)["Location"] == f"/{one}"
    s3.create_bucket(Bucket=two)
    head = s3.head_bucket(Bucket=one)
    assert (head["BucketRegion"], head["BucketArn"]) == ("us-east-1", f"arn:aws:s3:::{one}")
    assert [found["Name"] for found in s3.list_buckets()["Buckets"]] == [one, two]


def test_create_bucket_again_succeeds_at_home_and_is_refused_elsewhere(
    s3: Any, another: Any, server: Any, account: Any, refused: Any
) -> None:
    mine = name()
    s3.create_bucket(Bucket=mine)
    s3.create_bucket(Bucket=mine)
    abroad = another(account, region="eu-central-1")
    configuration = {"LocationConstraint": "eu-central-1"}
    with refused("BucketAlreadyOwnedByYou", 409):
        abroad.create_bucket(Bucket=mine, CreateBucketConfiguration=configuration)
    other = another(server.new_account())
    with refused("BucketAlreadyExists", 409) as error:
        other.create_bucket(Bucket=mine)
    assert error["Error"]["BucketName"] == mine
    with refused("403", 403):
        other.head_bucket(Bucket=mine)
    with refused("AccessDenied", 403):
        other.list_objects_v2(Bucket=mine)


@pytest.mark.parametrize(
    "bad",
    [
        "ab",
        "Upper",
        "under_score",
        "-start",
        "end-",
        "a..b",
        "a.-b",
        "192.168.5.4",
        "xn--name",
        "name-s3alias",
        "x" * 64,
    ],
)
def test_create_bucket_refuses_names_against_the_rules(another: Any, refused: Any, bad: str) -> None:
    s3 = another()
    s3.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    with refused("InvalidBucketName", 400):
        s3.create_bucket(Bucket=bad)


def test_create_bucket_in_a_region_wants_its_location_constraint(another: Any, account: Any, refused: Any) -> None:
    abroad = another(account, region="ap-northeast-1")
    with refused("IllegalLocationConstraintException", 400):
        abroad.create_bucket(Bucket=name())
    with refused("IllegalLocationConstraintException", 400):
        abroad.create_bucket(Bucket=name(), CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})


def test_get_bucket_location_is_that_of_creation_seen_from_anywhere(
    another: Any, account: Any, s3: Any, bucket: str
) -> None:
    abroad, far = another(account, region="ap-northeast-1"), name()
    abroad.create_bucket(Bucket=far, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
    assert s3.get_bucket_location(Bucket=far)["LocationConstraint"] == "ap-northeast-1"
    assert abroad.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    abroad.put_object(Bucket=bucket, Key="a", Body=b"seen from everywhere")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"seen from everywhere"
    only = s3.list_buckets(BucketRegion="ap-northeast-1")["Buckets"]
    assert [found["Name"] for found in only] == [far]


@pytest.mark.parametrize(
    "extra",
    [
        {"BucketNamespace": "account-regional"},
        {"CreateBucketConfiguration": {"Location": {"Type": "AvailabilityZone", "Name": "use1-az1"}}},
    ],
)
def test_create_bucket_refuses_what_it_can_not_keep(s3: Any, refused: Any, extra: dict[str, Any]) -> None:
    with refused("NotImplemented", 501):
        s3.create_bucket(Bucket=name(), **extra)
    assert s3.list_buckets()["Buckets"] == []


def test_create_bucket_with_tags_has_them_at_once(s3: Any, refused: Any) -> None:
    mine, tags = name(), [{"Key": "a", "Value": "b"}]
    s3.create_bucket(Bucket=mine, CreateBucketConfiguration={"Tags": tags})
    assert s3.get_bucket_tagging(Bucket=mine)["TagSet"] == tags
    with refused("InvalidTag", 400):
        s3.create_bucket(Bucket=name(), CreateBucketConfiguration={"Tags": tags + tags})
    assert [found["Name"] for found in s3.list_buckets()["Buckets"]] == [mine]


def test_a_bucket_that_is_made_anew_has_no_configuration_of_the_old_one(s3: Any, bucket: str, refused: Any) -> None:
    s3.create_bucket(Bucket=(mine := name()))
    s3.put_bucket_tagging(Bucket=mine, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.put_bucket_encryption(
        Bucket=mine,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
        },
    )
    s3.delete_bucket(Bucket=mine)
    s3.create_bucket(Bucket=mine)
    with refused("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket=mine)
    rules = s3.get_bucket_encryption(Bucket=mine)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_delete_bucket_only_when_empty(s3: Any, bucket: str, refused: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    with refused("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_bucket(Bucket=bucket)
    with refused("404", 404):
        s3.head_bucket(Bucket=bucket)
    with refused("NoSuchBucket", 404) as error:
        s3.delete_bucket(Bucket=bucket)
    assert error["Error"]["BucketName"] == bucket


def test_list_buckets_pages_with_prefix(s3: Any, refused: Any) -> None:
    names = sorted(f"p{number}-{name()}" for number in range(5))
    for each in names:
        s3.create_bucket(Bucket=each)
    found = s3.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 2}).build_full_result()
    assert [each["Name"] for each in found["Buckets"]] == names
    assert [each["Name"] for each in s3.list_buckets(Prefix="p3")["Buckets"]] == names[3:4]
    with refused("InvalidArgument", 400):
        s3.list_buckets(MaxBuckets=10_001)
    with refused("InvalidArgument", 400):
        s3.list_buckets(ContinuationToken="not a token")


def test_head_bucket_waiters_end(s3: Any, bucket: str) -> None:
    s3.get_waiter("bucket_exists").wait(Bucket=bucket, WaiterConfig={"Delay": 1, "MaxAttempts": 1})
    s3.delete_bucket(Bucket=bucket)
    s3.get_waiter("bucket_not_exists").wait(Bucket=bucket, WaiterConfig={"Delay": 1, "MaxAttempts": 1})


def test_an_unserved_operation_says_so(s3: Any, bucket: str, refused: Any) -> None:
    with refused("UnsupportedOperationException", 501):
        s3.put_bucket_replication(
            Bucket=bucket,
            ReplicationConfiguration={
                "Role": "arn:aws:iam::111111111111:role/r",
                "Rules": [{"Status": "Enabled", "Destination": {"Bucket": "arn:aws:s3:::other"}}],
            },
        )
