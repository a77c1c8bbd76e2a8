"""Access control lists through boto3, and what they let callers without a signature and other accounts do."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import urllib3
from botocore import UNSIGNED
from botocore.config import Config

ALL = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.fixture
def nobody(server: Any) -> Iterator[Any]:
    """A client without keys."""
    client = boto3.client(
        "s3", endpoint_url=server.endpoint, region_name="us-east-1",
        config=Config(signature_version=UNSIGNED, retries={"max_attempts": 0}),
    )  # fmt: skip
    yield client
    client.close()


@pytest.fixture
def opened(s3: Any) -> Callable[[str], str]:
    """`opened("public-read")`: a bucket whose lists count, with that one."""

    def make(acl: str = "private") -> str:
        name = f"open-{uuid.uuid4().hex}"
        s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
        s3.delete_public_access_block(Bucket=name)
        s3.put_bucket_acl(Bucket=name, ACL=acl)
        return name

    return make


def _canonical(client: Any) -> str:
    return str(client.list_buckets()["Owner"]["ID"])


def test_get_bucket_acl_of_a_new_bucket_gives_its_owner_full_control(s3: Any, bucket: str) -> None:
    found = s3.get_bucket_acl(Bucket=bucket)
    assert found["Owner"]["ID"] == _canonical(s3)
    (grant,) = found["Grants"]
    assert (grant["Grantee"]["ID"], grant["Permission"]) == (_canonical(s3), "FULL_CONTROL")


def test_put_bucket_acl_replaces_the_grants(s3: Any, opened: Any) -> None:
    name = opened("public-read")
    groups = [(grant["Grantee"].get("URI"), grant["Permission"]) for grant in s3.get_bucket_acl(Bucket=name)["Grants"]]
    assert groups == [(None, "FULL_CONTROL"), (ALL, "READ")]
    me = {"Type": "CanonicalUser", "ID": _canonical(s3)}
    grants = [
        {"Grantee": me, "Permission": "WRITE_ACP"},
        {"Grantee": {"Type": "Group", "URI": ALL}, "Permission": "READ"},
    ]
    s3.put_bucket_acl(Bucket=name, AccessControlPolicy={"Grants": grants, "Owner": {"ID": _canonical(s3)}})
    assert [grant["Permission"] for grant in s3.get_bucket_acl(Bucket=name)["Grants"]] == ["WRITE_ACP", "READ"]
    s3.put_bucket_acl(Bucket=name, GrantRead=f'uri="{ALL}", id="{_canonical(s3)}"')
    assert [grant["Permission"] for grant in s3.get_bucket_acl(Bucket=name)["Grants"]] == ["READ", "READ"]


def test_put_bucket_acl_is_refused_where_lists_are_off_or_public_ones_blocked(
    s3: Any, bucket: str, opened: Any, refused: Any
) -> None:
    with refused("AccessControlListNotSupported", 400):
        s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    name = opened()
    blocked = {"BlockPublicAcls": True}
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=blocked)
    with refused("AccessDenied", 403):
        s3.put_bucket_acl(Bucket=name, ACL="public-read")
    with refused("AccessDenied", 403):
        s3.put_object(Bucket=name, Key="a", Body=b"1", ACL="public-read")
    with refused("InvalidBucketAclWithObjectOwnership", 400):
        s3.create_bucket(Bucket=f"new-{uuid.uuid4().hex}", ACL="public-read")


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({}, "MissingSecurityHeader"),
        ({"ACL": "private", "GrantRead": f'uri="{ALL}"'}, "InvalidRequest"),
        ({"GrantRead": 'uri="http://example.com/group"'}, "InvalidArgument"),
        ({"GrantRead": 'id="0123"'}, "InvalidArgument"),
        ({"GrantRead": "somebody"}, "InvalidArgument"),
        ({"GrantRead": 'emailAddress="a@example.com"'}, "UnresolvableGrantByEmailAddress"),
        ({"ACL": "public-ready"}, "InvalidArgument"),
        (
            {"AccessControlPolicy": {"Grants": [{"Grantee": {"Type": "Group"}, "Permission": "READ"}]}},
            "MalformedACLError",
        ),
        ({"AccessControlPolicy": {"Grants": []}, "ACL": "private"}, "UnexpectedContent"),
    ],
)
def test_put_bucket_acl_refuses_lists_that_make_no_sense(
    s3: Any, opened: Any, refused: Any, extra: dict[str, Any], code: str
) -> None:
    with refused(code, 400):
        s3.put_bucket_acl(Bucket=opened(), **extra)


def test_put_object_acl_and_get_object_acl_of_a_version(s3: Any, opened: Any, refused: Any) -> None:
    name = opened()
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=name, Key="a", Body=b"1")["VersionId"]
    s3.put_object(Bucket=name, Key="a", Body=b"2")
    s3.put_object_acl(Bucket=name, Key="a", VersionId=old, ACL="public-read")
    assert len(s3.get_object_acl(Bucket=name, Key="a", VersionId=old)["Grants"]) == 2
    assert len(s3.get_object_acl(Bucket=name, Key="a")["Grants"]) == 1
    with refused("NoSuchKey", 404):
        s3.get_object_acl(Bucket=name, Key="b")
    with refused("NoSuchKey", 404):
        s3.put_object_acl(Bucket=name, Key="b", ACL="private")
    with refused("MissingSecurityHeader", 400):
        s3.put_object_acl(Bucket=name, Key="a")


def test_nobody_may_anything_in_an_ordinary_bucket(s3: Any, nobody: Any, bucket: str, refused: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    for call, more in [
        (nobody.get_object, {"Key": "a"}), (nobody.list_objects_v2, {}), (nobody.put_object, {"Key": "b", "Body": b""}),
        (nobody.delete_object, {"Key": "a"}), (nobody.get_bucket_acl, {}), (nobody.get_bucket_policy, {}),
        (nobody.create_multipart_upload, {"Key": "a"}), (nobody.delete_bucket, {}), (nobody.get_object_tagging, {"Key": "a"}),
    ]:  # fmt: skip
        with refused("AccessDenied", 403):
            call(Bucket=bucket, **more)
    with refused("AccessDenied", 403):
        nobody.list_buckets()
    with refused("AccessDenied", 403):
        nobody.create_bucket(Bucket=f"mine-{uuid.uuid4().hex}")
    with refused("NoSuchBucket", 404):
        nobody.get_object(Bucket="no-such-bucket-anywhere", Key="a")


def test_nobody_reads_and_lists_what_is_public(s3: Any, nobody: Any, opened: Any, refused: Any) -> None:
    name = opened("public-read")
    s3.put_object(Bucket=name, Key="open", Body=b"1", ACL="public-read")
    s3.put_object(Bucket=name, Key="closed", Body=b"2")
    assert nobody.get_object(Bucket=name, Key="open")["Body"].read() == b"1"
    assert nobody.head_object(Bucket=name, Key="open")["ContentLength"] == 1
    assert [one["Key"] for one in nobody.list_objects_v2(Bucket=name)["Contents"]] == ["closed", "open"]
    assert [one["Key"] for one in nobody.list_objects(Bucket=name)["Contents"]] == ["closed", "open"]
    with refused("AccessDenied", 403):
        nobody.get_object(Bucket=name, Key="closed")
    with refused("NoSuchKey", 404):  # who may list may know
        nobody.get_object(Bucket=name, Key="gone")
    with refused("AccessDenied", 403):
        nobody.put_object(Bucket=name, Key="b", Body=b"")
    private = opened()
    with refused("AccessDenied", 403):
        nobody.get_object(Bucket=private, Key="gone")
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    with refused("AccessDenied", 403):
        nobody.get_object(Bucket=name, Key="open")


def test_nobody_writes_and_deletes_where_everybody_may(s3: Any, nobody: Any, opened: Any, refused: Any) -> None:
    name = opened("public-read-write")
    nobody.put_object(Bucket=name, Key="a", Body=b"from nobody")
    assert s3.get_object(Bucket=name, Key="a")["Body"].read() == b"from nobody"
    nobody.delete_object(Bucket=name, Key="a")
    with refused("AccessDenied", 403):
        nobody.delete_bucket(Bucket=name)
    with refused("AccessDenied", 403):
        nobody.put_bucket_acl(Bucket=name, ACL="private")


def test_another_account_gets_what_a_list_grants_it(
    s3: Any, another: Any, server: Any, opened: Any, refused: Any
) -> None:
    other = another(server.new_account())
    name = opened()
    s3.put_object(Bucket=name, Key="a", Body=b"shared", GrantRead=f'id="{_canonical(other)}"')
    assert other.get_object(Bucket=name, Key="a")["Body"].read() == b"shared"
    with refused("AccessDenied", 403):
        other.list_objects_v2(Bucket=name)
    with refused("AccessDenied", 403):
        other.get_object_acl(Bucket=name, Key="a")
    s3.put_bucket_acl(Bucket=name, ACL="authenticated-read")
    assert [one["Key"] for one in other.list_objects_v2(Bucket=name)["Contents"]] == ["a"]
    with refused("AccessDenied", 403):
        other.delete_object(Bucket=name, Key="a")


def test_another_account_copies_only_what_it_may_read_to_where_it_may_write(
    s3: Any, another: Any, server: Any, opened: Any, refused: Any
) -> None:
    other = another(server.new_account())
    shared, theirs = opened(), f"theirs-{uuid.uuid4().hex}"
    other.create_bucket(Bucket=theirs)
    s3.put_object(Bucket=shared, Key="open", Body=b"1", GrantRead=f'id="{_canonical(other)}"')
    s3.put_object(Bucket=shared, Key="closed", Body=b"2")
    other.copy_object(Bucket=theirs, Key="mine", CopySource=f"{shared}/open")
    assert other.get_object(Bucket=theirs, Key="mine")["Body"].read() == b"1"
    with refused("AccessDenied", 403):
        other.copy_object(Bucket=theirs, Key="stolen", CopySource=f"{shared}/closed")
    with refused("AccessDenied", 403):
        other.copy_object(Bucket=shared, Key="copy", CopySource=f"{shared}/open")
    s3.put_bucket_acl(Bucket=shared, GrantWrite=f'id="{_canonical(other)}"')
    other.copy_object(Bucket=shared, Key="copy", CopySource=f"{shared}/open")
    assert s3.get_object(Bucket=shared, Key="copy")["Body"].read() == b"1"
    with refused("AccessDenied", 403):  # who may write may not read
        other.copy_object(Bucket=shared, Key="copy", CopySource=f"{shared}/closed")
    other.put_object(Bucket=shared, Key="given", Body=b"written by another")
    assert s3.get_object(Bucket=shared, Key="given")["Body"].read() == b"written by another"


def test_put_bucket_ownership_controls_can_not_turn_lists_off_under_a_public_one(
    s3: Any, opened: Any, refused: Any
) -> None:
    name = opened("public-read")
    enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    with refused("InvalidBucketAclWithObjectOwnership", 400):
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=enforced)
    s3.put_bucket_acl(Bucket=name, ACL="private")
    s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=enforced)


def test_an_empty_authorization_is_none(server: Any, bucket: str) -> None:
    with urllib3.PoolManager() as pool:
        answer = pool.request("PUT", f"{server.endpoint}/{bucket}/a", body=b"1", headers={"Authorization": ""})
    assert (answer.status, b"<Code>AccessDenied</Code>" in answer.data) == (403, True)
