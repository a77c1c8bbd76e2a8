"""Metadata beyond US-ASCII and values that no header can carry: through boto3, presigned addresses and forms."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.services.s3.forms import code, message, post
from tests.services.s3.test_wire import address, ask, presigned

__all__ = ["address"]


def _sent(s3: Any, another: Any, bucket: str, value: str) -> str:
    """The metadata that comes back for a header's value, which boto3 itself would not send."""
    client = another()
    client.meta.events.register(
        "before-call.s3.PutObject", lambda params, **_: params["headers"].update({"x-amz-meta-m": value})
    )
    client.put_object(Bucket=bucket, Key="a", Body=b"")
    found = s3.head_object(Bucket=bucket, Key="a")["Metadata"]
    assert s3.get_object(Bucket=bucket, Key="a")["Metadata"] == found
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    assert s3.head_object(Bucket=bucket, Key="b")["Metadata"] == found
    return str(found["m"])


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("ÄMÄZÕÑ S3", "=?UTF-8?B?w4PChE3Dg8KEWsODwpXDg8KRIFMz?="),  # the example of the S3 User Guide
        ("AMAZONS3", "AMAZONS3"),
        ("=?UTF-8?Q?caf=C3=A9_cr=C3=A8me?=", f"=?UTF-8?B?{base64.b64encode('café crème'.encode()).decode()}?="),
        ("=?iso-8859-1?b?6Q==?= =?UTF-8?B?w6k=?=", f"=?UTF-8?B?{base64.b64encode('éé'.encode()).decode()}?="),
        ("=?UTF-8?B?YWJj?=", "=?UTF-8?B?YWJj?="),  # nothing but US-ASCII: as it came
        ("=?UTF-8?B?w6k?= and =?nobody?Q?x?=", "=?UTF-8?B?w6k?= and =?nobody?Q?x?="),  # no encoded words after all
        ("inner  blanks \t", "inner  blanks"),
    ],
)
def test_metadata_travels_as_rfc_2047_says(s3: Any, another: Any, bucket: str, sent: str, shown: str) -> None:
    assert _sent(s3, another, bucket, sent) == shown


def test_metadata_of_a_form_is_utf_8_and_comes_back_encoded(s3: Any, bucket: str) -> None:
    fields = {"x-amz-meta-n": "日本é"}
    made = s3.generate_presigned_post(bucket, "a", Fields=fields, Conditions=[["starts-with", "$x-amz-meta-n", ""]])
    assert post(made["url"], made["fields"]).status == 204
    shown = s3.head_object(Bucket=bucket, Key="a")["Metadata"]["n"]
    assert shown == f"=?UTF-8?B?{base64.b64encode('日本é'.encode()).decode()}?="


@pytest.mark.parametrize("name", ["Content-Type", "Cache-Control", "x-amz-meta-日本"])
def test_a_form_with_what_no_header_can_carry_is_refused(s3: Any, bucket: str, name: str) -> None:
    made = s3.generate_presigned_post(bucket, "a", Fields={name: "日本"}, Conditions=[["starts-with", f"${name}", ""]])
    answer = post(made["url"], made["fields"])
    assert (answer.status, code(answer)) == (400, "InvalidArgument"), message(answer)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_forms_redirect_is_percent_encoded(s3: Any, bucket: str) -> None:
    place = "http://127.0.0.1:1/日本?x=%20"
    conditions = [["starts-with", "$success_action_redirect", ""]]
    made = s3.generate_presigned_post(bucket, "é", Fields={"success_action_redirect": place}, Conditions=conditions)
    answer = post(made["url"], made["fields"])
    assert answer.status == 303
    begin = "http://127.0.0.1:1/%E6%97%A5%E6%9C%AC?x=%20&bucket="
    assert answer.headers["location"].startswith(f"{begin}{bucket}&key=%C3%A9&etag=%22")


@pytest.mark.parametrize("value", ['attachment; filename="日本.txt"', "a\r\nX-Evil: 1", "a\x01b"])
@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_an_override_that_no_header_can_carry_is_refused(s3: Any, bucket: str, operation: str, value: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    url = presigned(s3, operation, Bucket=bucket, Key="a", ResponseContentDisposition=value)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(
            urllib.request.Request(url, method={"get_object": "GET", "head_object": "HEAD"}[operation])
        )
    assert refusal.value.code == 400
    if operation == "get_object":
        assert b"Header value cannot be represented using ISO-8859-1." in refusal.value.read()
    refusal.value.close()
    fits = presigned(s3, "get_object", Bucket=bucket, Key="a", ResponseContentDisposition='attachment; filename="ä"')
    with urllib.request.urlopen(fits) as answer:
        assert answer.headers["content-disposition"] == 'attachment; filename="ä"'


def test_a_path_that_is_no_utf_8_is_refused(server: Any, bucket: str, address: tuple[str, int]) -> None:
    for path in ("%ae%8a-", "a%ff", "%c0%af", "%ed%a0%80"):
        answer = ask(address, f"{server.endpoint}/{bucket}/{path}?x", "GET")
        assert answer.startswith("HTTP/1.1 400")
        assert "<Code>InvalidURI</Code>" in answer
