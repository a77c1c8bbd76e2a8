"""The runner of a user's checkout of ceph/s3-tests: which cases it chooses, what it tells the suite, how it counts."""

from __future__ import annotations

import configparser
from pathlib import Path

import boto3
import pytest
import s3_conformance


def test_cases_are_chosen_by_their_names() -> None:
    chosen = {
        "test_bucket_list_delimiter_basic": "list",
        "test_object_write_read_update_read_delete": "read and write",
        "test_get_object_ifmatch_good": "read and write",
        "test_multipart_upload_empty": "multipart",
        "test_ranged_request_skip_leading_bytes_response_code": "range",
        "test_object_copy_same_bucket": "copy",
        "test_multipart_copy_small": "copy",
        "test_object_raw_get_x_amz_expires_not_expired": "presigned",
        "test_post_object_missing_policy_condition": "POST",
        "test_versioning_obj_create_read_remove": None,
        "test_object_acl_default": None,
        "test_object_copy_versioned_bucket": None,
        "test_encrypted_transfer_1b": None,
        "test_lifecycle_set": None,
    }
    found = {name: s3_conformance.group(f"s3tests/functional/test_s3.py::{name}") for name in chosen}
    assert found == chosen


def test_the_configuration_holds_accounts_of_a_running_server(tmp_path: Path) -> None:
    with s3_conformance.server(tmp_path / "data") as (endpoint, accounts):
        parser = configparser.RawConfigParser()
        parser.read_string(s3_conformance.configuration(endpoint, accounts))
        seen = set()
        for section in ("s3 main", "s3 alt", "s3 tenant"):
            client = boto3.client(
                "s3", endpoint_url=f"http://{parser['DEFAULT']['host']}:{parser['DEFAULT']['port']}",
                region_name="us-east-1", aws_access_key_id=parser[section]["access_key"],
                aws_secret_access_key=parser[section]["secret_key"],
            )  # fmt: skip
            owner = client.list_buckets()["Owner"]
            assert (owner["ID"], owner["DisplayName"]) == (parser[section]["user_id"], parser[section]["display_name"])
            client.create_bucket(Bucket=(name := f"acl-{section.replace(' ', '-')}"), ACL="public-read")
            assert len(client.get_bucket_acl(Bucket=name)["Grants"]) == 2
            seen.add(owner["ID"])
            client.close()
        assert len(seen) == 3


def test_results_are_counted_by_group(tmp_path: Path) -> None:
    results = tmp_path / "results.xml"
    results.write_text(
        '<testsuites><testsuite><testcase name="test_a"/><testcase name="test_b[1]"><failure message="assert 1 == 2"/>'
        '</testcase><testcase name="test_c"><skipped/></testcase></testsuite></testsuites>'
    )
    lines, everything = s3_conformance.report(results, {"test_a": "list", "test_b": "copy", "test_c": "copy"})
    assert [line.split() for line in lines[:3]] == [
        ["copy", "0", "of", "1"], ["list", "1", "of", "1"], ["all", "1", "of", "2"]
    ]  # fmt: skip
    assert (lines[-1].strip(), everything) == ("test_b[1]: assert 1 == 2", False)


def test_what_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no checkout"):
        s3_conformance.suite(tmp_path)
    old = tmp_path / s3_conformance.LAYOUTS[1]
    old.parent.mkdir(parents=True)
    old.write_text("from nose.tools import eq_\n")
    with pytest.raises(SystemExit, match="nose"):
        s3_conformance.suite(tmp_path)
