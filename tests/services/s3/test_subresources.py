"""Configurations of buckets through boto3: kept as given, refused where they make no sense, S3's own error without one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

DAY = datetime(2031, 1, 1, tzinfo=UTC)
RULE = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}}
SINGLE: list[tuple[str, str, str, Any, str]] = [  # name of the operations, member of put, member of get, value, error without one
    ("bucket_cors", "CORSConfiguration", "CORSRules",
     {"CORSRules": [{"ID": "a", "AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://*.example.com"],
                     "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 3000}]},
     "NoSuchCORSConfiguration"),
    ("bucket_tagging", "Tagging", "TagSet", {"TagSet": [{"Key": "team", "Value": "ml"}, {"Key": "empty", "Value": ""}]},
     "NoSuchTagSet"),
    ("bucket_lifecycle_configuration", "LifecycleConfiguration", "Rules",
     {"Rules": [RULE, {"ID": "day", "Status": "Disabled", "Filter": {}, "Expiration": {"Date": DAY}},
                {"ID": "parts", "Status": "Enabled", "Filter": {"And": {"Prefix": "a", "ObjectSizeGreaterThan": 10}},
                 "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2}}]},
     "NoSuchLifecycleConfiguration"),
    ("bucket_website", "WebsiteConfiguration", "",
     {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "404.html"}}, "NoSuchWebsiteConfiguration"),
    ("public_access_block", "PublicAccessBlockConfiguration", "PublicAccessBlockConfiguration",
     {"BlockPublicAcls": True, "IgnorePublicAcls": False, "BlockPublicPolicy": True, "RestrictPublicBuckets": False},
     "NoSuchPublicAccessBlockConfiguration"),
    ("bucket_ownership_controls", "OwnershipControls", "OwnershipControls",
     {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}, "OwnershipControlsNotFoundError"),
]  # fmt: skip


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


@pytest.mark.parametrize(("noun", "member", "shown", "value", "error"), SINGLE, ids=[row[0] for row in SINGLE])
def test_a_configuration_is_kept_replaced_and_deleted(
    s3: Any, bucket: str, refused: Any, noun: str, member: str, shown: str, value: Any, error: str
) -> None:
    get, put = getattr(s3, f"get_{noun}"), getattr(s3, f"put_{noun}")
    delete = getattr(s3, f"delete_{noun.removesuffix('_configuration')}")
    delete(Bucket=bucket)  # what is not there is no error
    with refused(error, 404) as answer:
        get(Bucket=bucket)
    assert answer["Error"]["BucketName"] == bucket
    put(Bucket=bucket, **{member: value})
    found = _plain(get(Bucket=bucket))
    wanted = {"CORSConfiguration": "CORSRules", "Tagging": "TagSet", "LifecycleConfiguration": "Rules"}.get(member)
    expected = value[wanted] if wanted else value
    found.pop("TransitionDefaultMinimumObjectSize", None)
    assert (found[shown] if shown else found) == expected
    delete(Bucket=bucket)
    with refused(error, 404):
        get(Bucket=bucket)
    with refused("NoSuchBucket", 404):
        put(Bucket="no-such-bucket-anywhere", **{member: value})
    with refused("NoSuchBucket", 404):
        get(Bucket="no-such-bucket-anywhere")


def test_a_new_bucket_has_s3s_defaults(s3: Any, bucket: str, refused: Any) -> None:
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules == [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    controls = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert controls == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert _plain(s3.get_bucket_logging(Bucket=bucket)) == {}
    assert _plain(s3.get_bucket_accelerate_configuration(Bucket=bucket)) == {}
    assert _plain(s3.get_bucket_notification_configuration(Bucket=bucket)) == {}
    with refused("ReplicationConfigurationNotFoundError", 404):
        s3.get_bucket_replication(Bucket=bucket)
    with refused("ObjectLockConfigurationNotFoundError", 404):
        s3.get_object_lock_configuration(Bucket=bucket)
    with refused("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy(Bucket=bucket)
    with refused("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy_status(Bucket=bucket)


def test_bucket_encryption_goes_back_to_the_default_when_deleted(s3: Any, bucket: str) -> None:
    def algorithm() -> str:
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        return str(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"])

    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/mine"}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rules)
    assert algorithm() == "aws:kms"
    s3.delete_bucket_encryption(Bucket=bucket)
    assert algorithm() == "AES256"


def test_bucket_logging_accelerate_and_payment_are_kept(s3: Any, bucket: str, another: Any, account: Any) -> None:
    logging = {"LoggingEnabled": {"TargetBucket": bucket, "TargetPrefix": "log/"}}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=logging)
    assert _plain(s3.get_bucket_logging(Bucket=bucket)) == logging
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert _plain(s3.get_bucket_logging(Bucket=bucket)) == {}
    s3.put_bucket_accelerate_configuration(Bucket=bucket, AccelerateConfiguration={"Status": "Suspended"})
    assert s3.get_bucket_accelerate_configuration(Bucket=bucket)["Status"] == "Suspended"
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "Requester"


def _policy(bucket: str, principal: Any = "000000000000", **extra: Any) -> str:
    statement = {
        "Effect": "Allow", "Principal": principal if principal == "*" else {"AWS": principal},
        "Action": ["s3:GetObject"], "Resource": f"arn:aws:s3:::{bucket}/*", **extra,
    }  # fmt: skip
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_get_bucket_policy_status_says_whether_it_is_public(s3: Any, bucket: str, refused: Any) -> None:
    s3.put_bucket_policy(Bucket=bucket, Policy=(text := _policy(bucket)))
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == text
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": False}
    with refused("AccessDenied", 403):  # a new bucket blocks public policies
        s3.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket, "*"))
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == text
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=_policy(bucket, "*"))
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": True}
    s3.delete_bucket_policy(Bucket=bucket)
    with refused("NoSuchBucketPolicy", 404):
        s3.get_bucket_policy(Bucket=bucket)


@pytest.mark.parametrize(
    "change",
    [
        "not json", "[]", "{}", {"Effect": "Perhaps"}, {"Resource": "arn:aws:s3:::another-bucket/*"},
        {"Action": "ec2:RunInstances"}, {"Action": 5}, {"NotAction": "s3:PutObject"}, "x" * 21_000,
    ],
    ids=str,
)  # fmt: skip
def test_put_bucket_policy_refuses_what_is_no_policy_of_the_bucket(
    s3: Any, bucket: str, refused: Any, change: Any
) -> None:
    text = change if isinstance(change, str) else _policy(bucket, **change)
    with refused("MalformedPolicy", 400):
        s3.put_bucket_policy(Bucket=bucket, Policy=text)


MANY = {
    "analytics": {"StorageClassAnalysis": {}, "Filter": {"Prefix": "a"}},
    "metrics": {"Filter": {"Prefix": "a"}},
    "intelligent_tiering": {"Status": "Enabled", "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}]},
    "inventory": {
        "Destination": {"S3BucketDestination": {"Bucket": "arn:aws:s3:::reports", "Format": "CSV"}}, "IsEnabled": True,
        "IncludedObjectVersions": "Current", "Schedule": {"Frequency": "Daily"},
    },
}  # fmt: skip


@pytest.mark.parametrize("noun", MANY)
def test_configurations_with_ids_are_kept_listed_and_deleted(s3: Any, bucket: str, refused: Any, noun: str) -> None:
    member = f"{''.join(part.capitalize() for part in noun.split('_'))}Configuration"
    kind = f"bucket_{noun}_configuration"
    for number in (2, 1):
        document = {"Id": f"c{number}", **MANY[noun]}
        getattr(s3, f"put_{kind}")(Bucket=bucket, Id=f"c{number}", **{member: document})
    assert getattr(s3, f"get_{kind}")(Bucket=bucket, Id="c1")[member] == {"Id": "c1", **MANY[noun]}
    listed = getattr(s3, f"list_{kind}s")(Bucket=bucket)
    assert [one["Id"] for one in listed[f"{member}List"]] == ["c1", "c2"]
    assert listed["IsTruncated"] is False
    getattr(s3, f"delete_{kind}")(Bucket=bucket, Id="c1")
    with refused("NoSuchConfiguration", 404):
        getattr(s3, f"get_{kind}")(Bucket=bucket, Id="c1")
    with refused("NoSuchConfiguration", 404):
        getattr(s3, f"delete_{kind}")(Bucket=bucket, Id="c1")
    with refused("InvalidArgument", 400):
        getattr(s3, f"put_{kind}")(Bucket=bucket, Id="other", **{member: {"Id": "c3", **MANY[noun]}})


def test_configurations_with_ids_are_listed_in_pages_of_a_hundred(s3: Any, bucket: str) -> None:
    names = [f"m{number:03}" for number in range(103)]
    for name in names:
        s3.put_bucket_metrics_configuration(Bucket=bucket, Id=name, MetricsConfiguration={"Id": name})
    first = s3.list_bucket_metrics_configurations(Bucket=bucket)
    assert (len(first["MetricsConfigurationList"]), first["IsTruncated"]) == (100, True)
    token = first["NextContinuationToken"]
    rest = s3.list_bucket_metrics_configurations(Bucket=bucket, ContinuationToken=token)
    found = [one["Id"] for one in (*first["MetricsConfigurationList"], *rest["MetricsConfigurationList"])]
    assert (found, rest["IsTruncated"]) == (names, False)


CORS = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("bucket_cors", {"CORSConfiguration": {"CORSRules": []}}, "MalformedXML"),
    ("bucket_cors", {"CORSConfiguration": {"CORSRules": [{**CORS, "AllowedMethods": ["PATCH"]}]}}, "InvalidRequest"),
    ("bucket_cors", {"CORSConfiguration": {"CORSRules": [{**CORS, "AllowedOrigins": ["*.*"]}]}}, "InvalidRequest"),
    ("bucket_cors", {"CORSConfiguration": {"CORSRules": [{**CORS, "ExposeHeaders": ["x-*"]}]}}, "InvalidRequest"),
    ("bucket_cors", {"CORSConfiguration": {"CORSRules": [CORS] * 101}}, "MalformedXML"),
    ("bucket_tagging", {"Tagging": {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}}, "InvalidTag"),
    ("bucket_tagging", {"Tagging": {"TagSet": [{"Key": "aws:x", "Value": "1"}]}}, "InvalidTag"),
    ("bucket_tagging", {"Tagging": {"TagSet": [{"Key": "a" * 129, "Value": "1"}]}}, "InvalidTag"),
    ("bucket_tagging", {"Tagging": {"TagSet": [{"Key": "a", "Value": "1" * 257}]}}, "InvalidTag"),
    ("bucket_tagging", {"Tagging": {"TagSet": [{"Key": str(n), "Value": ""} for n in range(51)]}}, "BadRequest"),
    ("bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": []}}, "MalformedXML"),
    ("bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": [RULE, RULE]}}, "InvalidArgument"),
    ("bucket_lifecycle_configuration",
     {"LifecycleConfiguration": {"Rules": [{**RULE, "Expiration": {"Days": 0}}]}}, "InvalidArgument"),
    ("bucket_lifecycle_configuration",
     {"LifecycleConfiguration": {"Rules": [{**RULE, "Expiration": {"Days": 1, "Date": DAY}}]}}, "MalformedXML"),
    ("bucket_lifecycle_configuration",
     {"LifecycleConfiguration": {"Rules": [{**RULE, "Expiration": {"Date": datetime(2031, 1, 1, 5, tzinfo=UTC)}}]}},
     "InvalidArgument"),
    ("bucket_lifecycle_configuration",
     {"LifecycleConfiguration": {"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {}}]}}, "InvalidRequest"),
    ("bucket_lifecycle_configuration",
     {"LifecycleConfiguration": {"Rules": [{"ID": "x", "Status": "Enabled", "Expiration": {"Days": 1}}]}}, "MalformedXML"),
    ("bucket_lifecycle_configuration",
     {"LifecycleConfiguration": {"Rules": [{**RULE, "ID": "x" * 256}]}}, "InvalidArgument"),
    ("bucket_encryption", {"ServerSideEncryptionConfiguration": {"Rules": []}}, "MalformedXML"),
    ("bucket_encryption",
     {"ServerSideEncryptionConfiguration": {"Rules": [
         {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256", "KMSMasterKeyID": "k"}}]}}, "InvalidArgument"),
    ("bucket_ownership_controls", {"OwnershipControls": {"Rules": []}}, "MalformedXML"),
    ("bucket_logging",
     {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": "no-such-bucket-anywhere", "TargetPrefix": ""}}},
     "InvalidTargetBucketForLogging"),
    ("bucket_website", {"WebsiteConfiguration": {}}, "InvalidArgument"),
    ("bucket_website", {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "a/b"}}}, "InvalidArgument"),
    ("bucket_website", {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "a"},
                                                 "RedirectAllRequestsTo": {"HostName": "example.com"}}}, "InvalidRequest"),
    ("bucket_accelerate_configuration", {"AccelerateConfiguration": {}}, "MalformedXML"),
    ("bucket_accelerate_configuration", {"AccelerateConfiguration": {"Status": "Fast"}}, "MalformedXML"),
]  # fmt: skip


@pytest.mark.parametrize(("noun", "request_", "code"), BAD, ids=[f"{row[0]}-{row[2]}" for row in BAD])
def test_a_configuration_that_makes_no_sense_is_refused(
    s3: Any, bucket: str, refused: Any, noun: str, request_: dict[str, Any], code: str
) -> None:
    with refused(code, 400):
        getattr(s3, f"put_{noun}")(Bucket=bucket, **request_)


def test_lifecycle_rules_without_an_id_get_one(s3: Any, bucket: str) -> None:
    rule = {name: value for name, value in RULE.items() if name != "ID"}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule, rule]})
    one, two = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert "" not in (one["ID"], two["ID"])
    assert one["ID"] != two["ID"]


def test_accelerate_is_not_for_buckets_with_dots(s3: Any, another: Any, bucket: str, refused: Any) -> None:
    s3.create_bucket(Bucket=(dotted := f"a.{bucket}"[:60]))
    with refused("InvalidRequest", 400):
        s3.put_bucket_accelerate_configuration(Bucket=dotted, AccelerateConfiguration={"Status": "Enabled"})


def test_another_account_sees_no_configuration(s3: Any, bucket: str, another: Any, server: Any) -> None:
    other = another(server.new_account())
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    for call in (
        other.get_bucket_tagging,
        other.get_public_access_block,
        other.delete_bucket_tagging,
        other.get_bucket_acl,
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(Bucket=bucket)
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
