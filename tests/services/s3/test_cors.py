"""What browsers of other origins get: answers to preflights and headers on actual requests, by the bucket's rules."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3

from tests.services.s3.forms import code, post

RULES = [
    {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://*.example.com", "https://plain.org"], "AllowedHeaders": ["x-amz-*"],
     "ExposeHeaders": ["ETag", "x-amz-version-id"], "MaxAgeSeconds": 600},
    {"AllowedMethods": ["PUT", "POST"], "AllowedOrigins": ["*"], "AllowedHeaders": ["*"]},
]  # fmt: skip


@pytest.fixture
def shared_bucket(s3: Any, bucket: str) -> str:
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    return bucket


def _ask(server: Any, path: str, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib3.PoolManager() as pool:
        return pool.request("OPTIONS", f"{server.endpoint}/{path}", headers=named)


def test_a_preflight_is_answered_by_the_rule_that_fits(server: Any, shared_bucket: str) -> None:
    answer = _ask(
        server, f"{shared_bucket}/a", Origin="https://app.example.com", Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="X-Amz-Date, x-amz-user-agent",
    )  # fmt: skip
    assert answer.status == 200
    found = {name: value for name, value in answer.headers.items() if name.startswith("access-control")}
    assert found == {
        "access-control-allow-origin": "https://app.example.com",
        "access-control-allow-methods": "GET",
        "access-control-allow-headers": "x-amz-date, x-amz-user-agent",
        "access-control-max-age": "600",
        "access-control-expose-headers": "ETag, x-amz-version-id",
        "access-control-allow-credentials": "true",
    }
    assert "Origin" in answer.headers["vary"]
    answer = _ask(server, f"{shared_bucket}/new", Origin="http://any.where", Access_Control_Request_Method="PUT")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://example.com", "GET", ""), ("http://app.example.com", "GET", ""), ("https://app.example.com", "DELETE", ""),
        ("https://app.example.com", "GET", "content-type"), ("https://app.example.com.evil.org", "GET", ""),
    ],
)  # fmt: skip
def test_a_preflight_that_no_rule_allows_is_forbidden(
    server: Any, shared_bucket: str, origin: str, method: str, headers: str
) -> None:
    asked = {"Access_Control_Request_Headers": headers} if headers else {}
    answer = _ask(server, f"{shared_bucket}/a", Origin=origin, Access_Control_Request_Method=method, **asked)
    assert (answer.status, code(answer)) == (403, "AccessForbidden")
    assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_without_rules_or_origin_is_refused(server: Any, bucket: str, shared_bucket: str) -> None:
    answer = _ask(server, "no-such-bucket-anywhere/a", Origin="https://a.b", Access_Control_Request_Method="GET")
    assert (answer.status, code(answer)) == (403, "AccessForbidden")
    answer = _ask(server, f"{shared_bucket}/a", Access_Control_Request_Method="GET")
    assert (answer.status, code(answer)) == (400, "BadRequest")
    answer = _ask(server, f"{shared_bucket}/a", Origin="https://a.b")
    assert (answer.status, code(answer)) == (400, "BadRequest")


def test_an_actual_request_gets_the_headers_even_on_an_error(server: Any, s3: Any, shared_bucket: str) -> None:
    url = s3.generate_presigned_url("get_object", Params={"Bucket": shared_bucket, "Key": "a"})
    gone = s3.generate_presigned_url("get_object", Params={"Bucket": shared_bucket, "Key": "gone"})
    with urllib3.PoolManager() as pool:
        for address, status in ((url, 200), (gone, 404), (f"{server.endpoint}/{shared_bucket}/a", 403)):
            answer = pool.request("GET", address, headers={"Origin": "https://plain.org"})
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "https://plain.org")
        answer = pool.request("GET", url, headers={"Origin": "https://else.where"})
        assert (answer.status, "access-control-allow-origin" in answer.headers) == (200, False)
        assert "access-control-allow-origin" not in pool.request("GET", url).headers


def test_a_browsers_form_gets_the_headers_too(s3: Any, shared_bucket: str) -> None:
    made = s3.generate_presigned_post(shared_bucket, "form")
    answer = post(made["url"], made["fields"], headers={"Origin": "https://any.where"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "*")


def test_deleted_rules_are_gone_at_once(server: Any, s3: Any, shared_bucket: str) -> None:
    s3.delete_bucket_cors(Bucket=shared_bucket)
    answer = _ask(server, f"{shared_bucket}/a", Origin="https://plain.org", Access_Control_Request_Method="GET")
    assert (answer.status, code(answer)) == (403, "AccessForbidden")
