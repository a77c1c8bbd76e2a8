"""Object Lock: retention and legal holds keep versions from being deleted, for as long as they say."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

FAR = datetime(2099, 1, 1, tzinfo=UTC)
FARTHER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def locked(s3: Any) -> str:
    name = f"locked-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def put(s3: Any, bucket: str, **lock: Any) -> dict[str, str]:
    version = s3.put_object(Bucket=bucket, Key="a", Body=b"x", **lock)["VersionId"]
    return {"Bucket": bucket, "Key": "a", "VersionId": version}


def retention(mode: str, until: datetime) -> dict[str, Any]:
    return {"Mode": mode, "RetainUntilDate": until}


def test_put_object_lock_configuration_and_get_object_lock_configuration(
    s3: Any, bucket: str, locked: str, refused: Any
) -> None:
    enabled = {"ObjectLockEnabled": "Enabled"}
    assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == enabled
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    with refused("InvalidBucketState", 409):
        s3.put_bucket_versioning(Bucket=locked, VersioningConfiguration={"Status": "Suspended"})
    with refused("InvalidBucketState", 409):
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=enabled)
    for retained in ({"Mode": "GOVERNANCE", "Days": 1, "Years": 1}, {"Mode": "GOVERNANCE"}, {"Days": 1}):
        with refused("MalformedXML", 400):
            s3.put_object_lock_configuration(
                Bucket=locked, ObjectLockConfiguration={**enabled, "Rule": {"DefaultRetention": retained}}
            )
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 2}}
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration={**enabled, "Rule": rule})
    assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == {**enabled, "Rule": rule}
    head = s3.head_object(**put(s3, locked))
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert abs(head["ObjectLockRetainUntilDate"] - datetime.now(UTC) - timedelta(days=2)) < timedelta(minutes=5)


def test_delete_object_of_a_retained_version_is_refused(s3: Any, locked: str, refused: Any) -> None:
    place = put(s3, locked, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=FAR)
    with refused("AccessDenied", 403):
        s3.delete_object(**place)
    wanted = {"Objects": [{"Key": "a", "VersionId": place["VersionId"]}]}
    assert s3.delete_objects(Bucket=locked, Delete=wanted)["Errors"][0]["Code"] == "AccessDenied"
    marker = s3.delete_object(Bucket=locked, Key="a")  # hides it, removes nothing
    assert marker["DeleteMarker"] is True
    s3.delete_object(Bucket=locked, Key="a", VersionId=marker["VersionId"])
    assert s3.get_object(**place)["Body"].read() == b"x"
    s3.delete_object(**place, BypassGovernanceRetention=True)
    with refused("NoSuchVersion", 404):
        s3.get_object(**place)


def test_put_object_retention_and_get_object_retention(s3: Any, bucket: str, locked: str, refused: Any) -> None:
    place = put(s3, locked)
    with refused("NoSuchObjectLockConfiguration", 404):
        s3.get_object_retention(**place)
    with refused("InvalidArgument", 400):
        s3.put_object_retention(**place, Retention=retention("GOVERNANCE", datetime(2001, 1, 1, tzinfo=UTC)))
    with refused("MalformedXML", 400):
        s3.put_object_retention(**place, Retention={"Mode": "GOVERNANCE"})
    s3.put_object_retention(**place, Retention=retention("GOVERNANCE", FAR))
    assert s3.get_object_retention(**place)["Retention"] == retention("GOVERNANCE", FAR)
    s3.put_object_retention(**place, Retention=retention("GOVERNANCE", FARTHER))
    for less in (retention("GOVERNANCE", FAR), {}):
        with refused("AccessDenied", 403):
            s3.put_object_retention(**place, Retention=less)
    s3.put_object_retention(**place, Retention=retention("GOVERNANCE", FAR), BypassGovernanceRetention=True)
    s3.put_object_retention(**place, Retention=retention("COMPLIANCE", FAR))
    for less in (retention("GOVERNANCE", FARTHER), retention("COMPLIANCE", datetime(2098, 1, 1, tzinfo=UTC)), {}):
        with refused("AccessDenied", 403):
            s3.put_object_retention(**place, Retention=less, BypassGovernanceRetention=True)
    with refused("AccessDenied", 403):
        s3.delete_object(**place, BypassGovernanceRetention=True)
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with refused("InvalidRequest", 400):
        s3.put_object_retention(Bucket=bucket, Key="a", Retention=retention("GOVERNANCE", FAR))
    with refused("NoSuchKey", 404):
        s3.put_object_retention(Bucket=locked, Key="absent", Retention=retention("GOVERNANCE", FAR))


def test_a_retention_ends_at_its_date(s3: Any, locked: str) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    place = put(s3, locked, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()) + 0.1)
    s3.delete_object(**place)
    assert "Versions" not in s3.list_object_versions(Bucket=locked)


def test_put_object_legal_hold_and_get_object_legal_hold(s3: Any, bucket: str, locked: str, refused: Any) -> None:
    place = put(s3, locked)
    with refused("NoSuchObjectLockConfiguration", 404):
        s3.get_object_legal_hold(**place)
    s3.put_object_legal_hold(**place, LegalHold={"Status": "ON"})
    assert s3.get_object_legal_hold(**place)["LegalHold"] == {"Status": "ON"}
    assert s3.head_object(**place)["ObjectLockLegalHoldStatus"] == "ON"
    with refused("AccessDenied", 403):
        s3.delete_object(**place, BypassGovernanceRetention=True)
    s3.put_object_legal_hold(**place, LegalHold={"Status": "OFF"})
    s3.delete_object(**place)
    with refused("MalformedXML", 400):
        s3.put_object_legal_hold(**put(s3, locked), LegalHold={})
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    for call in (s3.get_object_legal_hold, s3.get_object_retention):
        with refused("InvalidRequest", 400):
            call(Bucket=bucket, Key="a")


def test_put_object_refuses_locks_that_make_no_sense(s3: Any, bucket: str, locked: str, refused: Any) -> None:
    for lock in (
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": FAR},
        {"ObjectLockLegalHoldStatus": "ON"},
    ):
        with refused("InvalidRequest", 400):
            s3.put_object(Bucket=bucket, Key="a", Body=b"x", **lock)
    for lock in (
        {"ObjectLockMode": "GOVERNANCE"},
        {"ObjectLockRetainUntilDate": FAR},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime(2001, 1, 1, tzinfo=UTC)},
    ):
        with refused("InvalidArgument", 400):
            s3.put_object(Bucket=locked, Key="a", Body=b"x", **lock)
    assert "Versions" not in s3.list_object_versions(Bucket=locked)


def test_locks_go_with_uploads_and_not_with_copies(s3: Any, locked: str, refused: Any) -> None:
    place = {"Bucket": locked, "Key": "joined"}
    upload = s3.create_multipart_upload(**place, ObjectLockLegalHoldStatus="ON")["UploadId"]
    part = s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x")
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    done = s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    with refused("AccessDenied", 403):
        s3.delete_object(**place, VersionId=done["VersionId"])
    copied = s3.copy_object(Bucket=locked, Key="copied", CopySource=place)
    s3.delete_object(Bucket=locked, Key="copied", VersionId=copied["VersionId"])
