"""InvokeEndpoint on the wire: limits, refusals, headers, order of pipelined requests, slow and broken clients."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import boto3
import numpy as np
import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.conftest import REGION, RunningServer
from tests.services.sagemaker.endpoints import Hosting, csv, expected, open_hosting, rows

LIMIT = 6_291_456  # bytes


@pytest.fixture(scope="module")
def hosting(server: RunningServer) -> Hosting:
    """An account with an endpoint `live`."""
    made = open_hosting(server, server.new_account())
    made.deploy("live")
    return made


def failure(hosting: Hosting, **request: object) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        hosting.runtime.invoke_endpoint(**{"EndpointName": "live", "ContentType": "text/csv", "Body": b"1", **request})
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def numbers(body: bytes) -> list[float]:
    return [float(value) for value in body.split(b",")]


def test_a_container_s_refusal_becomes_a_model_error(hosting: Hosting) -> None:
    with pytest.raises(hosting.runtime.exceptions.ModelError) as caught:
        hosting.runtime.invoke_endpoint(EndpointName="live", ContentType="application/x-image", Body=b"x")
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 415
    assert "application/x-image is not supported" in answer["OriginalMessage"]
    assert answer["LogStreamArn"].endswith("log-group:/aws/sagemaker/Endpoints/live")
    assert 'Received client error (415) from primary with message "' in answer["Error"]["Message"]


@pytest.mark.parametrize("body", [b"", b"1,2", b"a,b,c,d,e,f", b"\xff\xfe\x00", b"1,2,3,4,5,6\n1,2"])
def test_a_body_that_is_no_table_is_a_model_error(hosting: Hosting, body: bytes) -> None:
    code, status, _ = failure(hosting, Body=body)
    assert (code, status) == ("ModelError", 424)


def test_json_goes_in_and_out(hosting: Hosting) -> None:
    import json

    table = rows(2)
    body = json.dumps({"instances": [{"features": row.tolist()} for row in table]})
    answer = hosting.runtime.invoke_endpoint(
        EndpointName="live", ContentType="application/json", Accept="application/json", Body=body
    )
    assert answer["ContentType"] == "application/json"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    scores = [entry["score"] for entry in json.loads(answer["Body"].read())["predictions"]]
    assert np.allclose(scores, expected(table), atol=1e-6)


def test_an_unknown_endpoint_is_told_in_awss_words(hosting: Hosting) -> None:
    code, status, message = failure(hosting, EndpointName="nowhere")
    assert (code, status) == ("ValidationError", 400)
    assert message == f"Endpoint nowhere of account {hosting.keys.account} not found."
    elsewhere = hosting.server.client("sagemaker-runtime", hosting.keys, region="eu-west-1")
    with pytest.raises(ClientError, match=r"Endpoint live of account .* not found"):
        elsewhere.invoke_endpoint(EndpointName="live", Body=b"1")


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("TargetVariant", "Blue", "Variant Blue of endpoint live not found"),
        ("TargetModel", "a.tar.gz", "not a multi-model endpoint"),
        ("TargetContainerHostname", "second", "not a multi-container endpoint"),
        ("InferenceComponentName", "part", "no inference components"),
        ("EnableExplanations", "`true`", "no explainer"),
        ("SessionId", "NEW_SESSION", "no stateful sessions"),
        ("CustomAttributes", "x" * 1025, "at most 1024"),
    ],
)
def test_what_an_endpoint_does_not_have_is_refused(hosting: Hosting, member: str, value: str, words: str) -> None:
    code, status, message = failure(hosting, **{member: value})
    assert (code, status) == ("ValidationError", 400)
    assert words in message


def test_members_that_only_label_are_taken(hosting: Hosting) -> None:
    answer = hosting.runtime.invoke_endpoint(
        EndpointName="live", ContentType="text/csv", Body=csv(rows(1)), TargetVariant="AllTraffic", InferenceId="i-1",
        CustomAttributes="trace=1",
    )  # fmt: skip
    assert np.allclose(numbers(answer["Body"].read()), expected(rows(1)), atol=1e-6)


def test_six_megabytes_are_the_limit(hosting: Hosting) -> None:
    line = csv(rows(1))
    count = LIMIT // (len(line) + 1)
    body = b"\n".join([line] * count) + b"\n"
    body += b"\n" * (LIMIT - len(body))
    answer = hosting.runtime.invoke_endpoint(EndpointName="live", ContentType="text/csv", Body=body)
    assert len(answer["Body"].read().split(b",")) == count
    code, status, message = failure(hosting, Body=body + b"\n")
    assert (code, status) == ("ValidationError", 413)
    assert "exceeded 6291456 bytes" in message
    assert len(hosting.predict("live", rows(1))) == 1


def test_a_chunked_body_of_unknown_length_is_read_and_limited(hosting: Hosting) -> None:
    body = csv(rows(3))
    request = hosting.signed("live", body)
    head, _, _ = request.partition(b"\r\n\r\n")
    head = head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    with hosting.connection() as wire:
        wire.send(head + b"\r\n\r\n")
        for start in range(0, len(body), 7):
            piece = body[start : start + 7]
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        wire.send(b"0\r\n\r\n")
        status, _, answer = wire.answer()
        assert status == 200
        assert np.allclose(numbers(answer), expected(rows(3)), atol=1e-6)
        wire.send(head + b"\r\n\r\n")
        piece = b"1" * 1_000_000
        for _ in range(7):
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        wire.send(b"0\r\n\r\n")
        assert wire.answer()[0] == 413


def test_pipelined_requests_of_both_kinds_are_answered_in_order(hosting: Hosting) -> None:
    tables = [rows(2, seed=seed) for seed in range(5)]
    host = urlsplit(hosting.server.endpoint).netloc.encode()
    health = b"GET /_kenja/health HTTP/1.1\r\nHost: %b\r\n\r\n" % host
    with hosting.connection() as wire:
        requests = [hosting.signed("live", csv(table)) for table in tables]
        wire.send(requests[0] + health + requests[1] + requests[2] + health + requests[3] + health + requests[4])
        kinds = "ihiihihi"
        left = list(tables)
        for kind in kinds:
            status, headers, body = wire.answer()
            assert status == 200
            if kind == "h":
                assert b"ready" in body
            else:
                assert headers["x-amzn-invoked-production-variant"] == "AllTraffic"
                assert np.allclose(numbers(body), expected(left.pop(0)), atol=1e-6)


def test_hundreds_of_refused_requests_in_one_packet_are_all_answered(hosting: Hosting) -> None:
    bad = b"POST /endpoints/live/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    with hosting.connection() as wire:
        wire.send(bad * 2000)
        for _ in range(2000):
            status, _, body = wire.answer()
            assert status == 403
        assert b"Missing" in body or b"missing" in body.lower()


def test_an_expected_continue_is_sent_before_the_body(hosting: Hosting) -> None:
    body = csv(rows(1))
    request = hosting.signed("live", body, Expect="100-continue")
    head, _, _ = request.partition(b"\r\n\r\n")
    with hosting.connection() as wire:
        wire.send(head + b"\r\n\r\n")
        assert wire.answer()[0] == 100
        wire.send(body)
        assert wire.answer()[0] == 200
        wire.send(head.replace(b"Content-Length: %d" % len(body), b"Content-Length: 9999999") + b"\r\n\r\n")
        assert wire.answer()[0] == 413  # without having asked for the body
        assert wire.ended()


def test_half_and_slow_requests_hold_up_nobody(hosting: Hosting) -> None:
    body = csv(rows(2))
    request = hosting.signed("live", body)
    with hosting.connection() as half, hosting.connection() as slow:
        half.send(request[: len(request) // 2])
        for byte in request[:-10]:
            slow.send(bytes([byte]))
        began = time.monotonic()
        assert len(hosting.predict("live", rows(1))) == 1
        assert time.monotonic() - began < 5
        slow.send(request[-10:])
        assert slow.answer()[0] == 200
    with hosting.connection() as gone:
        gone.send(request)  # and does not wait for the answer
    assert len(hosting.predict("live", rows(1))) == 1


def test_bad_signatures_are_refused(hosting: Hosting) -> None:
    request = hosting.signed("live", b"1,2,3,4,5,6")
    cases = [
        (request.replace(b"1,2,3,4,5,6", b"6,5,4,3,2,1"), 403, b"InvalidSignatureException"),
        (request.replace(b"Signature=", b"Signature=0"), 403, b"InvalidSignatureException"),
        (request.replace(b"Credential=", b"Credential=X"), 403, b"UnrecognizedClientException"),
        (request.replace(b"Signature=", b"Sigmature="), 403, b"IncompleteSignatureException"),
    ]
    with hosting.connection() as wire:
        for changed, wanted, code in cases:
            wire.send(changed)
            status, headers, body = wire.answer()
            assert status == wanted
            assert code in headers.get("x-amzn-errortype", "").encode() + body
        wire.send(request)
        assert wire.answer()[0] == 200
    stranger = boto3.client(
        "sagemaker-runtime", endpoint_url=hosting.server.endpoint, region_name=REGION,
        aws_access_key_id="AKIAUNKNOWN", aws_secret_access_key="x",
    )  # fmt: skip
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        stranger.invoke_endpoint(EndpointName="live", Body=b"1")


def test_malformed_http_does_not_harm_the_server(hosting: Hosting) -> None:
    for data in (b"\0\1\2\3\r\n\r\n", b"POST /endpoints/live/invocations HTTP/1.1\r\nContent-Length: -5\r\n\r\n"):
        with hosting.connection() as wire:
            wire.send(data)
            assert wire.answer()[0] == 400
            assert wire.ended()
    assert len(hosting.predict("live", rows(1))) == 1


def test_a_pinned_and_a_presigned_request_mean_the_same(hosting: Hosting) -> None:
    table = rows(2)
    with hosting.connection() as wire:
        wire.send(hosting.signed("live", csv(table), path="/_svc/sagemaker-runtime/endpoints/live/invocations"))
        pinned = wire.answer()
        host = urlsplit(hosting.server.endpoint).netloc
        request = AWSRequest("POST", f"http://{host}/endpoints/live/invocations", data=b"")
        SigV4QueryAuth(Credentials(hosting.keys.access_key, hosting.keys.secret_key), "sagemaker", REGION).add_auth(
            request
        )
        parts = urlsplit(request.url)
        wire.send(f"POST {parts.path}?{parts.query} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
        presigned = wire.answer()
    assert pinned[0] == 200, pinned
    assert pinned[1]["x-amzn-invoked-production-variant"] == "AllTraffic"
    assert np.allclose(numbers(pinned[2]), expected(table), atol=1e-6)
    assert presigned[0] == 424  # it came through, and the model refuses an empty table


def test_a_closed_connection_is_asked_for_and_kept_alive_otherwise(hosting: Hosting) -> None:
    body = csv(rows(1))
    with hosting.connection() as wire:
        for _ in range(3):
            wire.send(hosting.signed("live", body))
            assert wire.answer()[0] == 200
        wire.send(hosting.signed("live", body).replace(b"\r\nHost:", b"\r\nConnection: close\r\nHost:", 1))
        status, headers, _ = wire.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert wire.ended()
