"""Uploads by browser forms: what boto3 presigns, policies of both signature versions, and every refusal."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
import urllib3

from tests.services.s3.forms import FILE, code, later, message, policy, post, signed_v2


@pytest.fixture
def url(server: Any, bucket: str) -> str:
    return f"{server.endpoint}/{bucket}"


def _conditions(bucket: str, *more: Any) -> list[Any]:
    return [{"bucket": bucket}, ["starts-with", "$key", "foo"], {"acl": "private"}, *more]


def _send(server: Any, bucket: str, conditions: Any, *, document: dict[str, Any] | None = None, **fields: str) -> Any:
    encoded = policy(conditions, **(document or {}))
    form = {"key": "foo.txt", "acl": "private", **signed_v2(server.keys, encoded), **fields}
    return post(f"{server.endpoint}/{bucket}", form)


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_post_of_boto3_uploads_with_its_metadata(another: Any, bucket: str, s3: Any, version: str) -> None:
    client = another(signature_version=version)
    fields = {"Content-Type": "text/csv", "x-amz-meta-colour": "blue", "Cache-Control": "no-cache"}
    conditions = [{name: value} for name, value in fields.items()]
    made = client.generate_presigned_post(bucket, "in/${filename}", Fields=fields, Conditions=conditions, ExpiresIn=60)
    answer = post(made["url"], made["fields"], ("file", ("C:\\data\\rows one.csv", b"a,b\n1,2\n", "text/csv")))
    assert (answer.status, answer.data) == (204, b"")
    found = s3.get_object(Bucket=bucket, Key="in/rows one.csv")
    assert found["Body"].read() == b"a,b\n1,2\n"
    assert (found["ContentType"], found["Metadata"], found["CacheControl"]) == (
        "text/csv",
        {"colour": "blue"},
        "no-cache",
    )
    assert answer.headers["etag"] == found["ETag"]
    assert answer.headers["location"].endswith(f"/{bucket}/in/rows%20one.csv")


def test_a_large_file_of_a_form_goes_through_the_disk_and_leaves_nothing_behind(
    server: Any, s3: Any, bucket: str
) -> None:
    body = bytes(range(256)) * 20_000  # 5 MB, with line breaks and dashes among them
    made = s3.generate_presigned_post(bucket, "large", Conditions=[["content-length-range", 1, 6_000_000]])
    assert post(made["url"], made["fields"], ("file", ("x", body, "a/b"))).status == 204
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == body
    answer = post(made["url"], made["fields"], ("file", ("x", body + body, "a/b")))
    assert (answer.status, code(answer)) == (400, "EntityTooLarge")
    assert list((server.data / "objects" / "incoming").iterdir()) == []
    assert s3.head_object(Bucket=bucket, Key="large")["ContentLength"] == len(body)


@pytest.mark.parametrize(
    ("wanted", "status"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204), ("200 OK", 204)]
)
def test_success_action_status_chooses_the_answer(server: Any, bucket: str, wanted: str, status: int) -> None:
    conditions = _conditions(bucket, ["starts-with", "$success_action_status", ""])
    answer = _send(server, bucket, conditions, success_action_status=wanted)
    assert answer.status == status
    text = answer.data.decode()
    assert ("<Key>foo.txt</Key>" in text and f"<Bucket>{bucket}</Bucket>" in text) == (status == 201)
    assert (text == "") == (status != 201)


def test_success_action_redirect_sends_the_browser_on(server: Any, bucket: str) -> None:
    conditions = _conditions(bucket, ["starts-with", "$success_action_redirect", ""])
    answer = _send(server, bucket, conditions, success_action_redirect="http://example.com/done?x=1")
    etag = answer.headers["etag"].strip('"')
    where = f"http://example.com/done?x=1&bucket={bucket}&key=foo.txt&etag=%22{etag}%22"
    assert (answer.status, answer.headers["location"]) == (303, where)
    assert _send(server, bucket, conditions, success_action_redirect="no address").status == 204


def test_names_of_fields_and_conditions_match_in_any_case(server: Any, s3: Any, bucket: str) -> None:
    conditions = [
        {"bUcKeT": bucket},
        ["StArTs-WiTh", "$KeY", "foo"],
        {"AcL": "private"},
        ["Eq", "$Content-TYPE", "a/b"],
    ]
    form = {"kEy": "foo", "aCl": "private", "Content-Type": "a/b"}
    encoded = signed_v2(server.keys, policy(conditions))
    form.update({"pOLICy": encoded.pop("policy"), **encoded})
    assert post(f"{server.endpoint}/{bucket}", form).status == 204
    assert s3.head_object(Bucket=bucket, Key="foo")["ContentType"] == "a/b"


def test_a_list_of_content_types_must_begin_with_the_value_throughout(server: Any, bucket: str) -> None:
    conditions = _conditions(bucket, ["starts-with", "$Content-Type", "image/"])
    assert _send(server, bucket, conditions, **{"Content-Type": "image/png,image/jpeg"}).status == 204
    assert _send(server, bucket, conditions, **{"Content-Type": "image/png,text/html"}).status == 403


def test_tags_of_a_form_become_tags_of_the_object(server: Any, s3: Any, bucket: str) -> None:
    tags = "<Tagging><TagSet><Tag><Key>a b</Key><Value>1/2 + 3</Value></Tag></TagSet></Tagging>"
    conditions = _conditions(bucket, ["starts-with", "$tagging", ""])
    assert _send(server, bucket, conditions, tagging=tags).status == 204
    assert s3.get_object_tagging(Bucket=bucket, Key="foo.txt")["TagSet"] == [{"Key": "a b", "Value": "1/2 + 3"}]
    answer = _send(server, bucket, conditions, tagging="<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>")
    assert (answer.status, code(answer)) == (400, "MalformedXML")


def test_a_checksum_of_a_form_must_fit_its_file(server: Any, s3: Any, bucket: str) -> None:
    name = "x-amz-checksum-sha256"
    conditions = _conditions(bucket, ["starts-with", f"${name}", ""])
    right = "/N4rLtula/QIYB+3If6bXDONEO5CnqBPrlURto+/j7k="  # of the three bytes "bar"
    assert _send(server, bucket, conditions, **{name: right}).status == 204
    shown = s3.head_object(Bucket=bucket, Key="foo.txt", ChecksumMode="ENABLED")
    assert shown["ChecksumSHA256"] == right
    answer = _send(server, bucket, conditions, **{name: right.replace("/N4", "/N5")})
    assert (answer.status, code(answer)) == (400, "BadDigest")


def test_fields_that_are_to_be_ignored_need_no_condition(server: Any, bucket: str) -> None:
    assert _send(server, bucket, _conditions(bucket), **{"x-ignore-foo": "bar"}).status == 204


@pytest.mark.parametrize(
    ("conditions", "fields", "sentence"),
    [
        ([], {"x-amz-meta-a": "1"}, "Extra input fields: x-amz-meta-a"),
        ([["eq", "$x-amz-meta-a", ""]], {"x-amz-meta-a": "1"}, 'Policy Condition failed: ["eq", "$x-amz-meta-a", ""]'),
        ([["starts-with", "$x-amz-meta-a", "b"]], {}, "Policy Condition failed"),
        ([["starts-with", "$key", "bar"]], {}, "Policy Condition failed"),
        ([{"acl": "public-read"}], {}, "Policy Condition failed"),
    ],
)
def test_a_form_that_is_not_as_the_policy_says_is_denied(
    server: Any, bucket: str, conditions: list[Any], fields: dict[str, str], sentence: str
) -> None:
    answer = _send(server, bucket, _conditions(bucket, *conditions), **fields)
    assert (answer.status, code(answer)) == (403, "AccessDenied")
    assert message(answer).replace("&quot;", '"').startswith(f"Invalid according to Policy: {sentence}")


def test_a_policy_that_leaves_out_the_bucket_is_not_enough(server: Any, bucket: str) -> None:
    answer = _send(server, bucket, _conditions(bucket)[1:])
    assert (answer.status, message(answer)) == (403, "Invalid according to Policy: Extra input fields: bucket")


def test_an_expired_policy_is_denied(server: Any, bucket: str) -> None:
    answer = _send(server, bucket, _conditions(bucket), document={"expiration": later(-6000)})
    assert (answer.status, message(answer)) == (403, "Invalid according to Policy: Policy expired.")


@pytest.mark.parametrize(
    "document",
    [
        {"expiration": None}, {"expiration": None, "EXPIRATION": "2035-01-01T00:00:00Z"},
        {"expiration": "2035-01-01 00:00:00+00:00"}, {"expiration": "2035-13-01T00:00:00Z"}, {"expiration": 5},
        {"conditions": None}, {"conditions": None, "CONDITIONS": []}, {"conditions": {}}, {"conditions": [{}]},
        {"conditions": [["content-length-range", 0]]}, {"conditions": [["content-length-range", -1, 0]]},
        {"conditions": [["content-length-range", 0, "x"]]}, {"conditions": [["like", "$key", "x"]]},
        {"conditions": [["eq", "key", "x"]]}, {"conditions": ["x"]}, {"conditions": [{"key": 5}]},
    ],
    ids=str,
)  # fmt: skip
def test_a_policy_that_is_none_is_refused(server: Any, bucket: str, document: dict[str, Any]) -> None:
    answer = _send(server, bucket, _conditions(bucket), document=document)
    assert (answer.status, code(answer)) == (400, "InvalidPolicyDocument"), message(answer)


@pytest.mark.parametrize("text", ["bm8ganNvbg==", "%%%", "W10="], ids=["no json", "no base64", "a list"])
def test_a_policy_field_that_can_not_be_read_is_refused(server: Any, bucket: str, text: str) -> None:
    answer = post(f"{server.endpoint}/{bucket}", {"key": "foo", **signed_v2(server.keys, text)})
    assert (answer.status, code(answer)) == (400, "InvalidPolicyDocument")


@pytest.mark.parametrize(("least", "most", "expected"), [(0, 0, "EntityTooLarge"), (512, 1000, "EntityTooSmall")])
def test_a_file_outside_the_policys_range_is_refused(
    server: Any, bucket: str, least: int, most: int, expected: str
) -> None:
    answer = _send(server, bucket, _conditions(bucket, ["content-length-range", least, most]))
    assert (answer.status, code(answer)) == (400, expected)


def test_a_wrong_signature_or_key_is_denied_in_both_versions(server: Any, s3: Any, bucket: str, another: Any) -> None:
    form = {"key": "foo", "acl": "private", **signed_v2(server.keys, policy(_conditions(bucket)))}
    answer = post(f"{server.endpoint}/{bucket}", {**form, "signature": form["signature"][::-1]})
    assert (answer.status, code(answer)) == (403, "SignatureDoesNotMatch")
    answer = post(f"{server.endpoint}/{bucket}", {**form, "AWSAccessKeyId": "AKIANOBODYHASTHISKEY"})
    assert (answer.status, code(answer)) == (403, "InvalidAccessKeyId")
    made = another(signature_version="s3v4").generate_presigned_post(bucket, "foo")
    for name, value, expected in [
        ("x-amz-signature", "0" * 64, (403, "SignatureDoesNotMatch")),
        ("x-amz-credential", made["fields"]["x-amz-credential"].replace("/s3/", "/sts/"), (400, "InvalidArgument")),
        ("x-amz-credential", "nonsense", (400, "InvalidArgument")),
        ("x-amz-date", "20200101T000000Z", (400, "InvalidArgument")),
        ("x-amz-algorithm", "AWS4-HMAC-MD5", (400, "InvalidArgument")),
    ]:
        answer = post(made["url"], {**made["fields"], name: value})
        assert (answer.status, code(answer)) == expected, name


@pytest.mark.parametrize("missing", ["AWSAccessKeyId", "signature", "policy"])
def test_a_form_that_is_signed_in_part_is_refused(server: Any, bucket: str, missing: str) -> None:
    form = {"key": "foo", "acl": "private", **signed_v2(server.keys, policy(_conditions(bucket)))}
    del form[missing]
    answer = post(f"{server.endpoint}/{bucket}", form)
    assert (answer.status, code(answer)) == (400, "InvalidArgument")
    assert "Bucket POST must contain a field named" in message(answer)


def test_a_form_of_temporary_keys_carries_their_token(server: Any, s3: Any, bucket: str) -> None:
    import boto3

    keys = server.client("sts").get_session_token()["Credentials"]
    client = boto3.client(
        "s3", endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"],
    )  # fmt: skip
    made = client.generate_presigned_post(bucket, "token")
    assert post(made["url"], made["fields"]).status == 204
    del made["fields"]["x-amz-security-token"]
    assert post(made["url"], made["fields"]).status == 403
    client.close()


def test_a_form_without_a_policy_is_nobodys_and_denied_unless_the_bucket_is_public(
    server: Any, s3: Any, bucket: str, url: str
) -> None:
    answer = post(url, {"key": "foo"})
    assert (answer.status, code(answer)) == (403, "AccessDenied")
    assert code(post(f"{server.endpoint}/no-such-bucket-anywhere", {"key": "foo"})) == "NoSuchBucket"
    name = f"open-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    s3.delete_public_access_block(Bucket=name)
    s3.put_bucket_acl(Bucket=name, ACL="public-read-write")
    answer = post(f"{server.endpoint}/{name}", {"key": "foo.txt", "acl": "public-read", "success_action_status": "201"})
    assert answer.status == 201
    assert s3.get_object(Bucket=name, Key="foo.txt")["Body"].read() == b"bar"


BOUNDARY = "xyz"
HEAD = 'Content-Disposition: form-data; name="{}"\r\n\r\n'


def _raw(server: Any, bucket: str, body: str, kind: str = f"multipart/form-data; boundary={BOUNDARY}") -> Any:
    with urllib3.PoolManager() as pool:
        return pool.request(
            "POST", f"{server.endpoint}/{bucket}", body=body.encode(), headers={"Content-Type": kind}, retries=False
        )


def _parts(*parts: str) -> str:
    return "".join(f"--{BOUNDARY}\r\n{part}\r\n" for part in parts) + f"--{BOUNDARY}--\r\n"


KEY, CONTENT = HEAD.format("key") + "foo", HEAD.format("file") + "bar"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", "MalformedPOSTRequest"),
        ("no form at all", "MalformedPOSTRequest"),
        (_parts(KEY, CONTENT)[:-6], "MalformedPOSTRequest"),
        (_parts("no head\r\n\r\nfoo"), "MalformedPOSTRequest"),
        (_parts("Content-Disposition: form-data\r\n\r\nfoo"), "MalformedPOSTRequest"),
        (_parts(KEY, CONTENT, CONTENT), "IncorrectNumberOfFilesInPostRequest"),
        (_parts(KEY), "IncorrectNumberOfFilesInPostRequest"),
        (_parts(CONTENT, KEY), "UserKeyMustBeSpecified"),  # what follows the file does not count
        (_parts(HEAD.format("x-ignore-a") + "x" * 21_000, KEY, CONTENT), "MaxPostPreDataLengthExceededError"),
        (_parts("x: " + "y" * 9000, KEY, CONTENT), "MalformedPOSTRequest"),
    ],
)
def test_a_form_that_is_none_is_refused(server: Any, bucket: str, body: str, expected: str) -> None:
    answer = _raw(server, bucket, body)
    assert (answer.status, code(answer)) == (400, expected), message(answer)


@pytest.mark.parametrize("kind", ["application/xml", "multipart/mixed; boundary=xyz", "multipart/form-data"])
def test_a_post_to_a_bucket_that_is_no_form_is_refused(server: Any, bucket: str, kind: str) -> None:
    answer = _raw(server, bucket, _parts(KEY, CONTENT), kind)
    assert (answer.status, code(answer)) == (400, "RequestIsNotMultiPartContent")


def test_answers_of_forms_have_s3s_request_id(server: Any, bucket: str, url: str) -> None:
    answer = post(url, {"key": "foo"}, FILE)
    assert (
        re.search(rb"<RequestId>([0-9a-zA-Z-]+)</RequestId>", answer.data)[1].decode()
        == answer.headers["x-amz-request-id"]
    )
