"""Smithy RPC v2 CBOR against the running server: signed by botocore, written and read by its own serializer and parser."""

from __future__ import annotations

import gzip
import http.client
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kenja.wire import Response, load
from tests.conftest import REGION, Keys, RunningServer
from tests.wire import samples

CBOR = "smithy-rpc-v2-cbor"


def call(
    server: RunningServer, keys: Keys | None, service: str, operation: str, *, packed: bool = False, **params: Any
) -> tuple[int, dict[str, Any]]:
    """Status and answer of one call; without keys it is not signed; `packed` sends the body as gzip."""
    model = load(service)
    request = samples.send(model.operation_model(operation), CBOR, params)
    body = gzip.compress(request.content()) if packed else request.content()
    headers = {name: text for name, text in request.headers.items() if name != "content-length"}
    if packed:
        headers["content-encoding"] = "gzip"
    signed = AWSRequest("POST", server.endpoint + request.path, data=body, headers=headers)
    if keys is not None:
        SigV4Auth(Credentials(keys.access_key, keys.secret_key), model.signing_name, REGION).add_auth(signed)
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=30)
    connection.request("POST", request.path, body, dict(signed.headers.items()))
    reply = connection.getresponse()
    found = {name.lower(): value for name, value in reply.getheaders()}
    answer = Response(reply.status, found, reply.read())
    connection.close()
    assert found["smithy-protocol"] == "rpc-v2-cbor"
    return reply.status, samples.receive(model.operation_model(operation), CBOR, answer)


def test_metrics_are_put_and_listed(server: RunningServer, account: Keys) -> None:
    data = [{"MetricName": "m", "Value": 1.5, "Timestamp": datetime.now(UTC)}]
    for packed in (False, True):
        status, _ = call(server, account, "cloudwatch", "PutMetricData", packed=packed, Namespace="n", MetricData=data)
        assert status == 200
    status, answer = call(server, account, "cloudwatch", "ListMetrics", Namespace="n")
    assert status == 200
    assert [metric["MetricName"] for metric in answer["Metrics"]] == ["m"]
    assert server.client("cloudwatch", account).list_metrics(Namespace="n")["Metrics"] == answer["Metrics"]


def test_refusals_are_cbor_too(server: RunningServer, account: Keys) -> None:
    status, answer = call(server, account, "cloudwatch", "PutMetricData", Namespace="", MetricData=[])
    assert (status, answer["Error"]["Code"]) == (400, "ValidationError")
    status, answer = call(server, account, "cloudwatch", "DeleteDashboards", DashboardNames=["d"])
    assert (status, answer["Error"]["Code"]) == (501, "UnsupportedOperationException")
    status, answer = call(server, None, "cloudwatch", "ListMetrics")
    assert (status, answer["Error"]["Code"]) == (400, "MissingAuthenticationTokenException")
    status, answer = call(server, account, "comprehend", "ListEndpoints")
    assert (status, answer["Error"]["Code"]) == (501, "UnsupportedOperationException")
