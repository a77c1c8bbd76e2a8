"""Bearer tokens: a token of Kenja speaks for its account over TLS, and nothing else does, nor anywhere else."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError

from kenja.core.config import Config
from kenja.kernel.kernel import Kernel
from kenja.kernel.services import Manifest
from kenja.server import gateway
from tests.server import proxying

ARN = "arn:aws:bedrock:us-east-1:000000000000:guardrail/x1"
HOST = "bedrock.eu-west-1.amazonaws.com"
MANIFEST = Manifest("bedrock", "tests.server.bearing", "bedrock", "bedrock", "", "2023-04-20", ("rest-json",))


@dataclass
class Bearing:
    """A gateway that also serves a service which takes tokens."""

    kernel: Kernel
    port: int
    account: str

    @property
    def data(self) -> Path:
        return self.kernel.config.data

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self, seconds: float = 60) -> str:
        return self.kernel.identity.bearer_token(self.account, "ap-northeast-1", seconds)


@pytest.fixture(scope="module")
def bearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bearing]:
    line = socket.create_server(("127.0.0.1", 0))
    port = line.getsockname()[1]
    kernel = Kernel(Config(tmp_path_factory.mktemp("bearing") / "data", port=port))
    account = kernel.identity.create_account().account
    # In a process of its own: an event loop that ends inside a test's process may leave connections to its garbage collector.
    process = multiprocessing.get_context("fork").Process(target=serve, args=(kernel.config, line))
    process.start()
    line.close()
    yield Bearing(kernel, port, account)
    process.terminate()
    process.join(30)
    assert process.exitcode is not None, "the gateway did not end"
    kernel.close()


def serve(config: Config, line: socket.socket) -> None:
    """The other process: a gateway that serves one more service."""
    kernel = Kernel(config)
    kernel.services.manifests = {**kernel.services.manifests, "bedrock": MANIFEST}
    gateway.server(kernel).run(sockets=[line])


@pytest.fixture
def ask(bearing: Bearing, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`ask(token, …)`: boto3's own bearer authentication, at an address or through the proxy."""
    proxying.trusted(bearing)  # type: ignore[arg-type]

    def call(token: str, endpoint: str | None = None) -> dict[str, str]:
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", token)
        client = boto3.client(
            "bedrock", region_name="eu-west-1", endpoint_url=endpoint, verify=str(bearing.data / "tls" / "authority.crt"),
            config=BotoConfig(proxies={"https": bearing.endpoint} if endpoint is None else None, retries={"max_attempts": 0}),
        )  # fmt: skip
        with closing(client):  # an idle TLS connection would outlive the server's loop in this process
            return {tag["key"]: tag["value"] for tag in client.list_tags_for_resource(resourceARN=ARN)["tags"]}

    return call


def raw(
    bearing: Bearing, authorization: str, *, tls: bool = True, path: str = "/_svc/bedrock/listTagsForResource"
) -> tuple[int, bytes]:
    """A hand-made request."""
    body = f'{{"resourceARN": "{ARN}"}}'
    text = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{bearing.port}\r\nAuthorization: {authorization}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    server: Any = bearing
    with proxying.connect(server) as plain:
        line = proxying.unverified().wrap_socket(plain) if tls else plain
        line.sendall(text.encode())
        head, _, answer = proxying.read_all(line).partition(b"\r\n\r\n")
        line.close()
    return int(head.split()[1]), answer


def test_a_token_speaks_for_its_account_in_the_region_of_the_host(ask: Any, bearing: Bearing) -> None:
    role = f"arn:aws:sts::{bearing.account}:assumed-role/KenjaExecutionRole/bearer"
    assert ask(bearing.token()) == {"caller": role, "region": "eu-west-1"}


def test_at_an_address_without_region_the_tokens_own_holds(ask: Any, bearing: Bearing) -> None:
    for path in ("", "/_svc/bedrock"):  # by the path of the operation alone, and by name
        assert ask(bearing.token(), f"https://127.0.0.1:{bearing.port}{path}")["region"] == "ap-northeast-1"


@pytest.mark.parametrize("token", ["ABSKQmVkcm9ja0FQSUtleS0xMjM0", "kenja-api-key-", "kenja-api-key-AAAA", "x", "日本"])
def test_an_unknown_token_is_refused(bearing: Bearing, token: str) -> None:
    status, body = raw(bearing, f"Bearer {token}")
    assert status == 403
    assert b"AccessDenied" in body or b"Please make sure your API Key is valid" in body


def test_an_unknown_and_an_expired_token_are_refused_with_amazons_code(ask: Any, bearing: Bearing) -> None:
    for token, told in (("unknown", "Authentication failed"), (bearing.token(-5), "Bearer Token has expired")):
        with pytest.raises(ClientError, match=told) as refused:
            ask(token)
        error = refused.value.response
        assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("AccessDeniedException", 403)


def test_a_changed_token_and_tokens_of_another_use_are_refused(bearing: Bearing) -> None:
    token = bearing.token()
    keys = bearing.kernel.identity.execution_role_session(bearing.account)
    for wrong in (
        token[:-8] + "AAAAAAAA",
        token[:60],
        token + "A",
        keys.session_token,
        f"kenja-api-key-{keys.session_token}",
    ):
        assert raw(bearing, f"Bearer {wrong}")[0] == 403
    assert raw(bearing, f"Bearer {token}")[0] == 200


def test_a_bearer_token_is_no_session_token(bearing: Bearing) -> None:
    keys = bearing.kernel.identity.execution_role_session(bearing.account)
    sealed = bearing.token().removeprefix("kenja-api-key-")
    client = boto3.client(
        "sts", region_name="us-east-1", endpoint_url=bearing.endpoint, aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key, aws_session_token=sealed,
    )  # fmt: skip
    with pytest.raises(ClientError) as refused:
        client.get_caller_identity()
    assert refused.value.response["Error"]["Code"] == "InvalidClientTokenId"


def test_over_plain_http_a_good_token_is_refused(bearing: Bearing) -> None:
    status, body = raw(bearing, f"Bearer {bearing.token()}", tls=False)
    assert status == 403
    assert b"over TLS only" in body


def test_a_service_whose_model_lists_no_bearer_tokens_refuses_them(bearing: Bearing) -> None:
    status, body = raw(bearing, f"Bearer {bearing.token()}", path="/_svc/sagemaker-runtime/endpoints/none/invocations")
    assert status == 403
    assert b"not supported" in body or b"Incomplete" in body
    status, body = raw(bearing, f"Bearer {bearing.token()}", path="/_svc/s3/bucket")
    assert status in (400, 403)


def test_accounts_token_prints_one_that_is_accepted(ask: Any, bearing: Bearing) -> None:
    command = [sys.executable, "-m", "kenja", "accounts", "token", bearing.account, "--data", str(bearing.data)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert bearing.account in ask(done.stdout.strip())["caller"]
    for wrong, told in ((["--hours", "0"], "hours"), (["--hours", "1e9"], "hours")):
        done = subprocess.run([*command, *wrong], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert told in done.stderr
    done = subprocess.run([*command[:5], "999999999999", *command[6:]], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "999999999999" in done.stderr
