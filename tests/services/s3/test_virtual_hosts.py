"""Buckets in host names: signed by header, presigned by both versions, by forms and by nobody; dotted names."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import urllib3
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from kenja.server.chain import bucket_hosts
from tests.services.s3.forms import post

HOSTS = [
    "{}.localhost:{}", "{}.s3.localhost:{}", "{}.s3.us-east-1.localhost:{}", "{}.s3.amazonaws.com", "{}.s3.us-east-1.amazonaws.com",
    "{}.s3-eu-west-1.amazonaws.com", "{}.s3.dualstack.us-east-1.amazonaws.com",
]  # fmt: skip


@pytest.fixture
def call(server: Any) -> Callable[..., Any]:
    """`call("GET", host, path)`: a request to the server under another host's name, signed for that name."""
    signers: dict[str, Any] = {
        "v4": lambda keys: S3SigV4Auth(keys, "s3", "us-east-1"),
        "presigned v4": lambda keys: S3SigV4QueryAuth(keys, "s3", "us-east-1", expires=60),
    }

    def send(method: str, host: str, path: str, body: bytes = b"", signer: str = "v4") -> Any:
        signed_body = body if signer == "v4" else b""  # an address signs no body
        request = AWSRequest(method, f"http://{host}{path}", data=signed_body, headers={"Host": host})
        signers[signer](Credentials(server.keys.access_key, server.keys.secret_key)).add_auth(request)
        parts = urlsplit(request.url)
        address = f"{server.endpoint}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        headers = {**dict(request.headers), "Host": host}
        with urllib3.PoolManager() as pool:
            return pool.request(method, address, body=body, headers=headers, retries=False, redirect=False)

    return send


@pytest.mark.parametrize("pattern", HOSTS)
@pytest.mark.parametrize("signer", ["v4", "presigned v4"])
def test_a_bucket_in_the_host_is_that_bucket(
    server: Any, s3: Any, bucket: str, call: Any, pattern: str, signer: str
) -> None:
    host = pattern.format(bucket, urlsplit(server.endpoint).port)
    assert call("PUT", host, "/a/b%20c", b"by host", signer=signer).status == 200
    assert s3.get_object(Bucket=bucket, Key="a/b c")["Body"].read() == b"by host"
    assert call("GET", host, "/a/b%20c", signer=signer).data == b"by host"
    listing = call("GET", host, "/?list-type=2", signer=signer).data.decode()
    assert "<Key>a/b c</Key>" in listing
    assert f"<Name>{bucket}</Name>" in listing
    assert call("HEAD", host, "/", signer=signer).status == 200


def test_a_dotted_bucket_in_the_host(s3: Any, call: Any, server: Any) -> None:
    name = f"my.data.{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name)
    for pattern in HOSTS:
        host = pattern.format(name, urlsplit(server.endpoint).port)
        assert call("PUT", host, "/key", b"1").status == 200, host
    assert call("DELETE", f"{name}.localhost", "/key").status == 204
    assert call("DELETE", f"{name}.localhost", "/").status == 204
    assert name not in {found["Name"] for found in s3.list_buckets()["Buckets"]}


def test_a_bucket_is_made_through_its_host(s3: Any, call: Any) -> None:
    name = f"host-{uuid.uuid4().hex}"
    assert call("PUT", f"{name}.s3.localhost", "/").status == 200
    assert name in {found["Name"] for found in s3.list_buckets()["Buckets"]}


def test_an_endpoints_own_host_is_no_bucket(s3: Any, bucket: str, call: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    for host in (
        "s3.localhost",
        "s3.us-east-1.localhost",
        "localhost",
        "s3.amazonaws.com",
        "s3.us-east-1.amazonaws.com",
    ):
        assert call("GET", host, f"/{bucket}/a").data == b"1", host
        assert "ListAllMyBucketsResult" in call("GET", host, "/").data.decode(), host


def test_a_signature_for_another_host_is_refused(server: Any, bucket: str, call: Any) -> None:
    request = AWSRequest("GET", f"http://{bucket}.localhost/", headers={"Host": f"{bucket}.localhost"})
    S3SigV4Auth(Credentials(server.keys.access_key, server.keys.secret_key), "s3", "us-east-1").add_auth(request)
    with urllib3.PoolManager() as pool:
        headers = {**dict(request.headers), "Host": "other.localhost"}
        answer = pool.request("GET", f"{server.endpoint}/", headers=headers)
    assert (answer.status, b"SignatureDoesNotMatch" in answer.data) == (403, True)


def test_presigned_by_version_2_under_the_buckets_host(server: Any, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a b", Body=b"two")
    host = f"{bucket}.s3.localhost"
    request = AWSRequest("GET", f"http://{host}/a%20b", headers={})
    request.auth_path = f"/{bucket}/a%20b"  # as botocore sets it for buckets in hosts
    HmacV1QueryAuth(Credentials(server.keys.access_key, server.keys.secret_key), expires=60).add_auth(request)
    address = request.url.replace(f"http://{host}", server.endpoint)
    with urllib3.PoolManager() as pool:
        assert pool.request("GET", address, headers={"Host": host}).data == b"two"
        assert pool.request("GET", address, headers={"Host": "localhost"}).status == 403


def test_a_form_posted_to_the_buckets_host(server: Any, s3: Any, bucket: str) -> None:
    client = boto3.client(
        "s3", endpoint_url="http://s3.localhost", region_name="us-east-1", aws_access_key_id=server.keys.access_key,
        aws_secret_access_key=server.keys.secret_key, config=Config(s3={"addressing_style": "virtual"}),
    )  # fmt: skip
    made = client.generate_presigned_post(bucket, "form", Fields={"success_action_status": "201"},
                                          Conditions=[{"success_action_status": "201"}])  # fmt: skip
    host = urlsplit(made["url"]).netloc
    assert host == f"{bucket}.s3.localhost"
    answer = post(f"{server.endpoint}/", made["fields"], headers={"Host": host})
    assert answer.status == 201
    assert f"<Location>http://{host}/form</Location>" in answer.data.decode()
    assert s3.get_object(Bucket=bucket, Key="form")["Body"].read() == b"bar"
    client.close()


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("b.localhost", "b"), ("B.LocalHost:4566", "b"), ("a.b.s3.localhost", "a.b"), ("s3.localhost", ""), ("localhost", ""),
        ("127.0.0.1:4566", ""), ("[::1]:4566", ""), ("", ""), ("example.com", ""), ("b.s3.eu-west-1.localhost.", "b"),
        ("x.localhost.example.com", ""), (".localhost", ""),
    ],
)  # fmt: skip
def test_hosts_of_this_machine_and_their_buckets(host: str, bucket: str) -> None:
    assert bucket_hosts.bucket(host) == bucket
