"""boto3 over a real socket against a server that is nothing but this layer: it notes what it read and answers from a table."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from kenja.wire import Request, codec, load, select


class Wire:
    """The server's table of answers, and the requests it has read."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.service = ""
        self.url = ""


@pytest.fixture
def wire() -> Iterator[Wire]:
    state = Wire()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            url = urlsplit(self.path)
            named = {name.lower(): value for name, value in self.headers.items()}
            body = (
                self.rfile.read(int(named.get("content-length", 0)))
                if "transfer-encoding" not in named
                else self.chunks()
            )
            request = Request(self.command, url.path, url.query, named, body)
            found = select(named, named.get("content-type", ""), url.path, url.query)
            chosen = codec(load(state.service), found)
            routed = chosen.route(request)
            assert routed is not None
            operation, labels = routed
            state.seen.append((operation, chosen.parse(operation, request, labels)))
            result = state.answers[operation]
            if isinstance(result, tuple):
                response = chosen.error(*result, request_id="r-1", method=self.command)
            else:
                response = chosen.serialize(operation, result, "r-1")
            assert isinstance(response.body, bytes)
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            if "content-length" not in response.headers:
                self.send_header("content-length", str(len(response.body)))
            self.end_headers()
            self.wfile.write(response.body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def _client(wire: Wire, service: str) -> Any:
    wire.service = service
    return boto3.client(
        service,
        endpoint_url=wire.url,
        region_name="us-east-1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_s3_objects(wire: Wire) -> None:
    s3 = _client(wire, "s3")
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    described = {"ContentLength": 5, "ETag": '"e"', "LastModified": moment, "Metadata": {"a": "b"}}
    wire.answers = {
        "PutObject": {"ETag": '"e"'},
        "GetObject": {**described, "Body": b"hello"},
        "HeadObject": described,
        "GetBucketLocation": {"LocationConstraint": "eu-west-1"},
        "ListObjectsV2": {"Contents": [{"Key": "a%20b", "Size": 1}], "EncodingType": "url", "IsTruncated": False},
        "DeleteObjects": {"Deleted": [{"Key": "x"}]},
    }
    key = "/a//b/ü %2F"
    assert s3.put_object(Bucket="bucket", Key=key, Body=b"hello", Metadata={"m": "1"})["ETag"] == '"e"'
    operation, values = wire.seen[-1]
    assert (operation, values["Bucket"], values["Key"], values["Metadata"]) == ("PutObject", "bucket", key, {"m": "1"})
    assert values["Body"].read() == b"hello"
    assert s3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"hello"
    head = s3.head_object(Bucket="bucket", Key=key)
    assert (head["ContentLength"], head["LastModified"], head["Metadata"]) == (5, moment, {"a": "b"})
    assert s3.get_bucket_location(Bucket="bucket")["LocationConstraint"] == "eu-west-1"
    assert s3.list_objects_v2(Bucket="bucket")["Contents"] == [{"Key": "a b", "Size": 1}]
    assert s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "x"}]})["Deleted"] == [{"Key": "x"}]
    assert wire.seen[-1][1]["Delete"] == {"Objects": [{"Key": "x"}]}


def test_s3_errors(wire: Wire) -> None:
    s3 = _client(wire, "s3")
    wire.answers = {"GetObject": ("NoSuchKey", "None here."), "HeadObject": ("NoSuchKey", "None here.")}
    with pytest.raises(s3.exceptions.NoSuchKey, match="None here"):
        s3.get_object(Bucket="bucket", Key="k")
    with pytest.raises(ClientError) as caught:
        s3.head_object(Bucket="bucket", Key="k")
    assert caught.value.response["ResponseMetadata"]["RequestId"] == "r-1"


@pytest.mark.parametrize(
    ("service", "operation", "call", "params", "result"),
    [
        ("sagemaker", "ListModels", "list_models", {"MaxResults": 5}, {"Models": []}),
        ("sagemaker-runtime", "InvokeEndpoint", "invoke_endpoint", {"EndpointName": "e", "Body": b"1"}, {"Body": b"2"}),
        ("iam", "ListRoleTags", "list_role_tags", {"RoleName": "r"}, {"Tags": [{"Key": "a", "Value": "<"}], "IsTruncated": False}),
        ("sts", "GetCallerIdentity", "get_caller_identity", {}, {"Account": "000000000000", "Arn": "a", "UserId": "u"}),
        ("cloudwatch", "PutMetricData", "put_metric_data", {"Namespace": "n" * 12_000, "MetricData": [{"MetricName": "m"}]}, {}),
    ],
)  # fmt: skip
def test_other_protocols(
    wire: Wire, service: str, operation: str, call: str, params: dict[str, Any], result: dict[str, Any]
) -> None:
    wire.answers = {operation: result}
    found = getattr(_client(wire, service), call)(**params)
    assert wire.seen == [(operation, params)]
    del found["ResponseMetadata"]
    read = {name: value.read() if hasattr(value, "read") else value for name, value in found.items()}
    if service == "sagemaker-runtime":
        assert read.pop("ContentType") == "application/octet-stream"
    assert read == result
    wire.answers = {operation: ("Throttling", "Slow down.")}
    with pytest.raises(ClientError, match="Slow down"):
        getattr(_client(wire, service), call)(**params)
