"""Well signed nonsense over real connections, in every protocol of every service: an answer of the right shape, never a 500, never a hang."""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import cbor2
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest, prepare_request_dict
from botocore.credentials import Credentials
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from kenja.core.errors import ServiceError
from kenja.kernel.services import load_all
from kenja.server.chain import body
from kenja.wire import load
from kenja.wire.codec import protocols
from tests.conftest import REGION, Keys, RunningServer
from tests.wire import samples

ROUNDS = 6  # requests per operation
SPOKEN = [(service.name, protocol) for service in load_all() for protocol in protocols(load(service.name))]
LIVE = frozenset(
    {"CreateTrainingJob", "CreateEndpoint", "StartLiveTail"}
)  # would start processes; their bodies are fuzzed in tests/wire
PATIENCE = 60  # seconds for one answer on a loaded machine


class Line:
    """One kept connection; opened anew where the server closed it, as it may after nonsense."""

    def __init__(self, server: RunningServer) -> None:
        self._place = urlsplit(server.endpoint).netloc
        self._connection = http.client.HTTPConnection(self._place, timeout=PATIENCE)

    def send(self, request: AWSRequest) -> tuple[int, dict[str, str], bytes]:
        try:
            return self._once(request)
        except (ConnectionError, http.client.RemoteDisconnected, http.client.BadStatusLine):
            self._connection.close()
            self._connection = http.client.HTTPConnection(self._place, timeout=PATIENCE)
            return self._once(request)

    def _once(self, request: AWSRequest) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(request.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._connection.request(request.method, path, request.data, dict(request.headers.items()))
        reply = self._connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()

    def close(self) -> None:
        self._connection.close()


def damaged(content: bytes, protocol: str, draw: random.Random) -> bytes:
    """One of: cut, bits turned, random, nested too deeply, huge, another type in the place of a value."""
    kind = draw.choice(["cut", "turned", "random", "deep", "huge", "typed", "doubled"])
    if kind == "cut":
        return content[: draw.randrange(len(content))] if content else b"{"
    if kind == "turned" and content:
        turned = bytearray(content)
        for _ in range(draw.randint(1, 6)):
            turned[draw.randrange(len(turned))] ^= 1 << draw.randrange(8)
        return bytes(turned)
    if kind == "deep":
        return {"json": b'{"a":' * 3000, "rest-json": b"[" * 3000, "rest-xml": b"<a>" * 3000}.get(
            protocol, b"\x81" * 3000
        )
    if kind == "huge":
        return content + draw.randbytes(300_000)
    if kind == "typed":
        return _retyped(content, protocol, draw)
    if kind == "doubled":
        return content + content
    return draw.randbytes(draw.choice([0, 1, 40, 5000]))


def _retyped(content: bytes, protocol: str, draw: random.Random) -> bytes:
    others: list[Any] = [None, True, -1, 1e308, "\x00", "ﷺ" * 500, [], {}, [[[]]], {"": {}}, 10**30]
    try:
        if protocol in ("json", "rest-json"):
            value = json.loads(content or b"{}")
            return json.dumps(
                {name: draw.choice(others) for name in value} if isinstance(value, dict) else others
            ).encode()
        if protocol == "smithy-rpc-v2-cbor":
            value = cbor2.loads(content)
            return cbor2.dumps({name: draw.choice(others) for name in value})
    except ValueError:
        return content
    return content.replace(b"=", b"=%00", 1).replace(b"<", b"<x:", 1)


def prepared(operation: OperationModel, protocol: str, endpoint: str, draw: random.Random) -> AWSRequest:
    """A valid request by botocore's own serializer, before it is damaged."""
    shape = operation.input_shape
    values = {} if shape is None else samples.Sample(operation.name, full=draw.random() < 0.5).value(shape)
    made = create_serializer(protocol, include_validation=False).serialize_to_request(values, operation)
    content = made["body"] if isinstance(made["body"], (bytes, str)) else b""
    if isinstance(made["body"], dict):
        content = AWSRequest("POST", endpoint, data=made["body"]).prepare().body or b""
    made["body"] = content.encode() if isinstance(content, str) else content
    made["headers"] = {name: value for name, value in made["headers"].items() if name.lower() != "content-length"}
    prepare_request_dict(made, endpoint)
    return AWSRequest(made["method"], made["url"], headers=made["headers"], data=made["body"])


def signed(request: AWSRequest, service: str, keys: Keys) -> AWSRequest:
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    request.headers["Host"] = urlsplit(request.url).netloc
    name = load(service).metadata.get("signingName", load(service).metadata["endpointPrefix"])
    signer(Credentials(keys.access_key, keys.secret_key), name, REGION).add_auth(request)
    return request


@pytest.fixture
def line(server: RunningServer) -> Iterator[Line]:
    opened = Line(server)
    yield opened
    opened.close()


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_damaged_requests_get_an_error_of_their_protocol(
    service: str, protocol: str, server: RunningServer, account: Keys, line: Line
) -> None:
    draw = random.Random(f"{service}/{protocol}")
    model = load(service)
    served = next(found for found in load_all() if found.name == service)
    parser, wrong = create_parser(protocol), []
    for name in sorted(served.operations):
        operation = model.operation_model(name)
        for _ in range(0 if name in LIVE or operation.has_event_stream_output else ROUNDS):
            request = prepared(operation, protocol, server.endpoint, draw)
            if request.method in ("POST", "PUT", "PATCH"):
                request.data = damaged(request.data or b"", protocol, draw)
            status, headers, answer = line.send(signed(request, service, account))
            if status < 400:
                continue  # the damage was within what the operation allows
            told = parser.parse({"status_code": status, "headers": headers, "body": answer}, operation.output_shape)
            if status >= 500 or (request.method != "HEAD" and not told["Error"].get("Code")):
                wrong.append((name, status, (request.data or b"")[:80], answer[:200]))
    assert wrong == []


def test_random_bytes_never_stop_the_server(server: RunningServer) -> None:
    draw = random.Random(7)
    place = urlsplit(server.endpoint)
    for _ in range(60):
        with socket.create_connection((place.hostname, place.port), timeout=PATIENCE) as connection:
            start = draw.choice(
                [b"", b"POST / HTTP/1.1\r\n", b"GET /b/k HTTP/1.1\r\nHost: s3\r\nContent-Length: 9\r\n"]
            )
            connection.sendall(start + draw.randbytes(draw.randint(1, 4000)))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    assert server.client("sts").get_caller_identity()["Account"] == "000000000000"


def test_slow_clients_do_not_hold_up_others(server: RunningServer, account: Keys) -> None:
    """Forty connections that send a byte at a time, and a client in a hurry."""
    place = urlsplit(server.endpoint)
    ended = threading.Event()

    def dribble() -> None:
        with socket.create_connection((place.hostname, place.port), timeout=PATIENCE) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
            while not ended.wait(0.05):
                connection.sendall(b"a")

    threads = [threading.Thread(target=dribble) for _ in range(40)]
    for thread in threads:
        thread.start()
    try:
        began = time.monotonic()
        for _ in range(20):
            server.client("sts", account).get_caller_identity()
        assert time.monotonic() - began < PATIENCE
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_a_body_that_stops_half_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "SILENCE", 0.2)

    async def never() -> Any:
        await asyncio.sleep(PATIENCE)

    async def receive() -> None:
        with ThreadPoolExecutor(1) as threads:
            await body.Spool(None, 1000, None, md5=False, sha256=False).receive(never, threads)

    with pytest.raises(ServiceError, match=r"request's body") as refused:
        asyncio.run(receive())
    assert (refused.value.code, refused.value.status) == ("RequestTimeout", 400)
    assert refused.value.headers == {"connection": "close"}
