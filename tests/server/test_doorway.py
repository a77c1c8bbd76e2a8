"""One port for HTTP, TLS and proxies: AWS's names end here, other hosts are reached untouched, and rubbish does no harm."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError

from tests.conftest import Keys, RunningServer, serving
from tests.server import proxying
from tests.server.proxying import AWS, HEALTHY

# TLS


def test_https_is_answered_on_the_same_port(server: RunningServer) -> None:
    context = proxying.context(server)
    for name in ("127.0.0.1", "localhost"):
        with proxying.connect(server) as plain, context.wrap_socket(plain, server_hostname=name) as line:
            assert line.version() in ("TLSv1.3", "TLSv1.2")
            assert proxying.get(line, name) == (200, HEALTHY)


@pytest.mark.parametrize(
    "host", [AWS, "tables.s3.amazonaws.com", "api.sagemaker.eu-west-1.api.aws", "x.amazonaws.com.cn"]
)
def test_each_host_of_aws_has_a_certificate_of_its_own(server: RunningServer, host: str) -> None:
    context = proxying.context(server)
    with proxying.tunnelled(server, f"{host}:443") as plain, context.wrap_socket(plain, server_hostname=host) as line:
        names = dict(line.getpeercert()["subjectAltName"])  # type: ignore[index, arg-type]
        assert names == {"DNS": host}
        assert proxying.get(line, host) == (200, HEALTHY)


def test_a_client_that_names_an_aws_host_without_connect_gets_its_certificate(server: RunningServer) -> None:
    context = proxying.context(server)
    with proxying.connect(server) as plain, context.wrap_socket(plain, server_hostname=AWS) as line:
        assert proxying.get(line, AWS) == (200, HEALTHY)


def test_the_authority_does_not_vouch_for_other_names(server: RunningServer) -> None:
    context = proxying.context(server)
    with proxying.connect(server) as plain, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(plain, server_hostname="example.com")


def test_the_authoritys_key_is_the_owners_alone_and_stays_the_same(server: RunningServer) -> None:
    file = proxying.trusted(server)
    before = file.read_bytes()
    assert file.with_suffix(".pem").stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert b"PRIVATE" not in before
    assert proxying.trusted(server).read_bytes() == before
    assert sorted(path.name for path in file.parent.iterdir()) == ["authority.crt", "authority.pem"]


def test_cryptography_is_loaded_with_the_first_tls_connection(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as own:
        maps = Path(f"/proc/{own.children()['gateway']}/maps")
        own.client("sts").get_caller_identity()
        assert "/cryptography/" not in maps.read_text()
        assert not (own.data / "tls").exists()
        proxying.trusted(own)
        assert "/cryptography/" in maps.read_text()


def test_old_tls_versions_are_refused(server: RunningServer) -> None:
    context = proxying.unverified()
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with proxying.connect(server) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain)


# boto3 through the proxy, at Amazon's own addresses


@pytest.fixture
def proxied(server: RunningServer, account: Keys, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`proxied("s3")`: a boto3 client that is told of a proxy and an authority, and of no endpoint."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy") or name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    bundle = str(proxying.trusted(server))

    def make(service: str, region: str = "us-east-1", scheme: str = "https") -> Any:
        settings = BotoConfig(proxies={"https": server.endpoint, "http": server.endpoint}, retries={"max_attempts": 0})
        return boto3.client(
            service, region_name=region, verify=bundle, use_ssl=scheme == "https", config=settings,
            aws_access_key_id=account.access_key, aws_secret_access_key=account.secret_key,
        )  # fmt: skip

    return make


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_boto3_at_amazons_own_addresses_lands_here(proxied: Any, account: Keys, scheme: str) -> None:
    assert proxied("sts", scheme=scheme).get_caller_identity()["Account"] == account.account
    s3 = proxied("s3", scheme=scheme)
    s3.create_bucket(Bucket=f"by-{scheme}-{account.account}")
    data = random.Random(1).randbytes(3_000_000)
    s3.put_object(Bucket=f"by-{scheme}-{account.account}", Key="deep/er", Body=data)  # at BUCKET.s3.amazonaws.com
    got = s3.get_object(Bucket=f"by-{scheme}-{account.account}", Key="deep/er")["Body"].read()
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()


def test_regions_are_different_worlds_by_their_hosts(proxied: Any) -> None:
    listed = proxied("sagemaker", region="ap-northeast-1").list_training_jobs()
    assert listed["TrainingJobSummaries"] == []
    with pytest.raises(ClientError) as refused:
        proxied("sagemaker", region="ap-northeast-1").describe_training_job(TrainingJobName="none")
    assert refused.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("dynamodb", "list_tables", {}),
        ("ec2", "describe_instances", {}),
        ("route53", "list_hosted_zones", {}),
        ("cloudformation", "list_stacks", {}),
        ("eks", "list_clusters", {}),
        ("s3control", "list_jobs", {"AccountId": "123456789012"}),
    ],
)
def test_services_that_are_not_served_say_so_in_their_own_protocol(
    proxied: Any, service: str, operation: str, arguments: dict[str, str]
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(proxied(service), operation)(**arguments)
    error = refused.value.response
    assert error["Error"]["Code"] == "UnsupportedOperationException"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert "Kenja serves no service" in error["Error"]["Message"]


def test_live_tails_host_prefix_lands_here_too(server: RunningServer) -> None:
    port = server.endpoint.rpartition(":")[2]
    told = proxying.exchange(
        server,
        f"GET http://stream-127.0.0.1:{port}/_kenja/health HTTP/1.1\r\nHost: stream-127.0.0.1:{port}\r\n\r\n".encode(),
    )
    assert told.endswith(HEALTHY)


# Other hosts


def test_a_tunnel_carries_bytes_both_ways_untouched(server: RunningServer) -> None:
    data = random.Random(2).randbytes(5_000_000)

    def upper(line: socket.socket) -> None:
        got = bytearray()
        while piece := line.recv(65536):
            got += piece
        line.sendall(b"first the foreign host speaks;" + bytes(reversed(got)))

    with proxying.foreign(upper) as port, proxying.tunnelled(server, f"127.0.0.1:{port}") as line:
        sender = threading.Thread(target=lambda: (line.sendall(data), line.shutdown(socket.SHUT_WR)))
        sender.start()
        got = proxying.read_all(line)
        sender.join()
    assert got == b"first the foreign host speaks;" + data[::-1]


def test_a_foreign_host_that_speaks_first_is_heard(server: RunningServer) -> None:
    greeting = b"220 hello\r\n"
    with (
        proxying.foreign(lambda line: line.sendall(greeting)) as port,
        proxying.tunnelled(server, f"localhost:{port}") as line,
    ):
        assert proxying.read_all(line) == greeting


def test_plain_http_is_passed_on_without_what_was_for_the_proxy(server: RunningServer) -> None:
    seen: list[bytes] = []

    def answer(line: socket.socket) -> None:
        seen.append(proxying.read_head(line) + line.recv(4))
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    with proxying.foreign(answer) as port:
        request = (
            f"POST http://127.0.0.1:{port}/a%20b?q=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nProxy-Connection: keep-alive\r\n"
            "Proxy-Authorization: Basic eDp5\r\nX-Own: kept\r\nContent-Length: 4\r\n\r\nbody"
        )
        assert proxying.exchange(server, request.encode()).endswith(b"\r\n\r\nok")
    head = seen[0].split(b"\r\n")
    assert head[0] == b"POST /a%20b?q=1 HTTP/1.1"
    assert {b"X-Own: kept", b"Connection: close"} <= set(head)
    assert not any(line.lower().startswith(b"proxy-") for line in head)
    assert seen[0].endswith(b"body")


def test_other_hosts_are_asked_through_the_proxy_that_the_server_was_started_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def upstream(line: socket.socket) -> None:
        seen.append(proxying.read_head(line))
        line.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfrom upstream")

    with proxying.foreign(upstream) as port, proxying.foreign(lambda line: line.sendall(b"direct")) as near:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://me:p%40ss@127.0.0.1:{port}")
            monkeypatch.delenv(name.lower(), raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with serving(tmp_path / "data") as own:
            for line in ("CONNECT example.com:443", "GET http://example.com/x?y"):
                told = proxying.exchange(own, f"{line} HTTP/1.1\r\nHost: example.com\r\n\r\n".encode())
                assert told.endswith(b"from upstream")
            with proxying.tunnelled(own, f"127.0.0.1:{near}") as direct:
                assert proxying.read_all(direct) == b"direct"
            with proxying.tunnelled(own, f"{AWS}:443") as plain:
                assert proxying.get(plain, AWS) == (200, HEALTHY)
    assert [head.split(b"\r\n")[0] for head in seen] == [
        b"CONNECT example.com:443 HTTP/1.1",
        b"GET http://example.com/x?y HTTP/1.1",
    ]
    assert all(b"\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n" in head for head in seen)


@pytest.mark.parametrize("request_line", ["CONNECT {} HTTP/1.1", "GET http://{}/ HTTP/1.1"])
def test_what_can_not_be_reached_is_told(server: RunningServer, request_line: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for place in (f"127.0.0.1:{port}", "no-such-host.invalid:443"):
        told = proxying.exchange(server, f"{request_line.format(place)}\r\nHost: {place}\r\n\r\n".encode())
        assert told.startswith(b"HTTP/1.1 502 "), told
        assert b"could not be reached" in told


@pytest.mark.parametrize("host", ["169.254.169.254", "169.254.170.2", "[fd00:ec2::254]"])
def test_the_keys_of_the_machines_own_role_are_out_of_reach(server: RunningServer, host: str) -> None:
    for line in (f"GET http://{host}/latest/api/token HTTP/1.1", f"CONNECT {host}:80 HTTP/1.1"):
        told = proxying.exchange(server, f"{line}\r\nHost: {host}\r\n\r\n".encode())
        assert told.startswith(b"HTTP/1.1 403 "), told
