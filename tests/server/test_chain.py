"""The gateway's chain as raw HTTP sees it: what is refused, in which protocol, and what never happens (a 500, a hang)."""

from __future__ import annotations

import datetime
import http.client
import json
import socket
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.conftest import REGION, Keys, RunningServer


def send(
    server: RunningServer, body: bytes, headers: dict[str, str], *, path: str = "/", method: str = "POST"
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=30)
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    found = reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    connection.close()
    return found


def signed(
    server: RunningServer, keys: Keys, body: bytes, headers: dict[str, str], service: str = "sagemaker", **how: Any
) -> dict[str, str]:
    """The headers with a SigV4 signature by botocore's own signer."""
    request = AWSRequest(
        how.get("method", "POST"), server.endpoint + how.get("path", "/"), data=body,
        headers={"Host": urlsplit(server.endpoint).netloc, **headers},
    )  # fmt: skip
    signer = SigV4Auth(Credentials(keys.access_key, keys.secret_key), service, REGION)
    signer.add_auth(request)
    return dict(request.headers.items())


LIST = {"X-Amz-Target": "SageMaker.ListTrainingJobs", "Content-Type": "application/x-amz-json-1.1"}


def test_health_needs_no_signature(server: RunningServer) -> None:
    status, _, body = send(server, b"", {}, path="/_kenja/health", method="GET")
    assert (status, json.loads(body)) == (200, {"status": "ready"})


def test_a_signed_call_is_answered(server: RunningServer) -> None:
    status, headers, body = send(server, b"{}", signed(server, server.keys, b"{}", LIST))
    assert status == 200
    assert json.loads(body) == {"TrainingJobSummaries": []}
    assert len(headers["x-amzn-requestid"]) == 36


def test_unsigned_calls_are_refused_in_their_protocol(server: RunningServer) -> None:
    status, _, body = send(server, b"{}", LIST)
    assert status in (400, 403)
    assert json.loads(body)["__type"].endswith("MissingAuthenticationTokenException")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, _, body = send(server, b"Action=GetCallerIdentity&Version=2011-06-15", form)
    assert (status, "MissingAuthenticationToken" in ET.fromstring(body)[0].findtext("{*}Code", "")) == (403, True)
    status, _, body = send(server, b"", {}, path="/", method="GET")
    assert (status, ET.fromstring(body).findtext("Code")) == (403, "AccessDenied")


@pytest.mark.parametrize("part", ["X-Amz-Date", "X-Amz-Target", "Authorization", "body"])
def test_whatever_is_changed_after_signing_is_noticed(server: RunningServer, part: str) -> None:
    headers = signed(server, server.keys, b"{}", LIST)
    body = b"{}"
    if part == "body":
        body = b'{"MaxResults":1}'
    elif part == "Authorization":
        headers[part] = headers[part][:-1] + ("0" if headers[part][-1] != "0" else "1")
    elif part == "X-Amz-Target":
        headers[part] = "SageMaker.ListModels"
    else:
        moment = datetime.datetime.strptime(headers[part] + "+0000", "%Y%m%dT%H%M%SZ%z") + datetime.timedelta(seconds=1)
        headers[part] = moment.strftime("%Y%m%dT%H%M%SZ")
    status, _, answer = send(server, body, headers)
    assert status in (400, 403)
    assert "Signature" in json.loads(answer)["__type"]


def test_a_key_that_nobody_has_is_refused(server: RunningServer) -> None:
    unknown = Keys("0", "AKIAIOSFODNN7EXAMPLE", "wrong")
    with pytest.raises(ClientError) as caught:
        server.client("sagemaker", unknown).list_models()
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_unsupported_operations_answer_level_0(server: RunningServer) -> None:
    with pytest.raises(ClientError) as caught:
        server.client("sagemaker").create_domain(
            DomainName="d", AuthMode="IAM", DefaultUserSettings={}, SubnetIds=["s-1"], VpcId="v-1"
        )
    error = caught.value.response
    assert error["Error"]["Code"] == "UnsupportedOperationException"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 501


@pytest.mark.parametrize("service", ["ec2", "dynamodb", "sns", "lambda"])
def test_services_that_are_not_served_answer_level_0(server: RunningServer, service: str) -> None:
    client = server.client(service)
    call = {
        "ec2": lambda: client.describe_instances(),
        "dynamodb": lambda: client.list_tables(),
        "sns": lambda: client.list_topics(),
        "lambda": lambda: client.list_functions(),
    }[service]
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"x"',
        b"\xff\xfe",
        b'{"MaxResults":"many"}',
        b'{"NameContains":{}}',
        b"[" * 50_000,
    ],
)
def test_malformed_bodies_get_an_answer_of_the_right_shape(server: RunningServer, body: bytes) -> None:
    status, _, answer = send(server, body, signed(server, server.keys, body, LIST))
    assert status in (200, 400)
    if status == 400:
        assert json.loads(answer)["__type"] in ("SerializationException", "ValidationException")


def test_an_unknown_operation_is_named(server: RunningServer) -> None:
    headers = {**LIST, "X-Amz-Target": "SageMaker.MakeCoffee"}
    status, _, body = send(server, b"{}", signed(server, server.keys, b"{}", headers))
    assert status == 404
    assert "MakeCoffee" in json.loads(body)["message"]


def test_a_body_above_the_limit_is_refused_early(server: RunningServer) -> None:
    line = socket.create_connection(_address(server), timeout=30)
    headers = signed(server, server.keys, b"", LIST)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    line.sendall(f"POST / HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    answer = b""
    try:
        for _ in range(1100):  # 70 MB
            line.sendall(chunk)
        line.sendall(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all of it was sent
    try:
        answer = line.recv(65536)
    except ConnectionResetError:
        return
    assert answer.startswith(b"HTTP/1.1 413")
    line.close()


def test_a_pinned_service_is_reached_under_its_path(server: RunningServer) -> None:
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    path = "/_svc/sts/"
    status, _, answer = send(server, body, signed(server, server.keys, body, headers, "sts", path=path), path=path)
    assert status == 200, answer
    assert b"000000000000" in answer


@pytest.mark.parametrize(
    "text",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_a_broken_connection_harms_nobody(server: RunningServer, text: bytes) -> None:
    line = socket.create_connection(_address(server), timeout=10)
    line.sendall(text)
    line.shutdown(socket.SHUT_WR)
    line.settimeout(10)
    try:
        answer = line.recv(65536)
    except ConnectionResetError:
        answer = b""
    assert b" 500 " not in answer[:20]
    line.close()
    assert send(server, b"", {}, path="/_kenja/health", method="GET")[0] == 200


def test_a_refusal_before_the_body_was_asked_for_ends_the_connection(server: RunningServer) -> None:
    """A client that waits for "100 Continue" may keep its body then; what it sends next must not be taken for it."""
    with socket.create_connection(_address(server), timeout=30) as line:
        line.sendall(
            b"PUT /bucket/key HTTP/1.1\r\nHost: s3.localhost\r\nContent-Length: 300\r\nExpect: 100-continue\r\n"
            b"Authorization: AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n"
        )
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_pipelined_requests_are_answered_in_order(server: RunningServer) -> None:
    bodies = [b"{}", b'{"MaxResults":1}', b'{"SortBy":"Nothing"}', b"{}"]
    text = b""
    for body in bodies:
        headers = signed(server, server.keys, body, LIST)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() != "content-length")
        text += f"POST / HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    line = socket.create_connection(_address(server), timeout=30)
    line.sendall(text)
    reader, statuses = line.makefile("rb"), []
    for _ in bodies:
        statuses.append(int(reader.readline().split()[1]))
        length = 0
        while (header := reader.readline().strip()) != b"":
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        reader.read(length)
    assert statuses == [200, 200, 400, 200]
    line.close()


def test_reset_is_off_unless_asked_for(server: RunningServer) -> None:
    assert send(server, b"", {}, path="/_kenja/reset")[0] == 403


def test_credentials_are_for_jobs_only(server: RunningServer) -> None:
    status, _, body = send(server, b"", {"Authorization": "guess"}, path="/_kenja/credentials/abc", method="GET")
    assert status == 403, body


def _address(server: RunningServer) -> tuple[str, int]:
    place = urlsplit(server.endpoint)
    assert place.hostname is not None
    assert place.port is not None
    return place.hostname, place.port
