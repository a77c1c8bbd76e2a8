"""The second request of a client, which is verified by what the first one taught: it is judged as the first one was."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth

from kenja.core.clock import Clock
from kenja.core.errors import ServiceError
from kenja.kernel.context import Principal
from kenja.kernel.identity import Identity
from kenja.kernel.identity.acquaintances import Acquaintances
from kenja.kernel.identity.signer import Signer
from kenja.kernel.resources.store import Store
from tests.kernel.test_identity_signatures import REGION, Credentials, Head, World, signed, tampered

PATH = "/endpoints/a/invocations"
BODY = b"1,2,3"


class Later(Clock):
    """A clock that a test sets."""

    def wall(self) -> float:
        return time.time() + ahead[0]


ahead = [0.0]  # seconds


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    ahead[0] = 0.0
    store = Store(f"sqlite:///{tmp_path / 'kenja.db'}", Clock())
    identity = Identity(store, Later())
    root = identity.create_account("123456789012")
    session = identity.execution_role_session("123456789012")
    yield World(
        identity,
        root.account,
        Credentials(root.access_key_id, root.secret_access_key),
        Credentials(session.access_key_id, session.secret_access_key, session.session_token),
    )
    store.close()


def invoked(keys: Any, body: bytes, **headers: str) -> Head:
    named = {"content-type": "text/csv", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return signed(SigV4Auth(keys, "sagemaker", REGION), "POST", PATH, "", named, body)


def ask(world: World, head: Head, body: bytes, service: str = "sagemaker") -> tuple[Principal, str]:
    raw = {name.encode(): value.encode("latin-1") for name, value in head.headers.items()}
    return world.identity.verify_fast(head.method, head.path, head.query, raw, body, service)


@pytest.fixture
def recognised(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each request was one of a known client, in their order."""
    found: list[bool] = []
    genuine = Acquaintances.recognise

    def watched(self: Acquaintances, *arguments: Any) -> Any:
        answer = genuine(self, *arguments)
        found.append(answer is not None)
        return answer

    monkeypatch.setattr(Acquaintances, "recognise", watched)
    return found


@pytest.mark.parametrize("with_session", [False, True])
def test_a_client_is_recognised_by_its_next_requests(world: World, recognised: list[bool], with_session: bool) -> None:
    keys = world.session if with_session else world.keys
    first = ask(world, invoked(keys, BODY), BODY)
    assert first[0].access_key == keys.access_key
    for body in (BODY, b"", b"4,5,6"):
        assert ask(world, invoked(keys, body), body) == first
        digest = hashlib.sha256(body).hexdigest()
        assert ask(world, invoked(keys, body, x_amz_content_sha256=digest), body) == first
    assert recognised == [False, True, False, True, True, True, True]  # one more signed header is another client


@pytest.mark.parametrize("with_session", [False, True])
def test_no_part_of_a_known_clients_request_can_change(world: World, with_session: bool) -> None:
    keys = world.session if with_session else world.keys
    head = invoked(keys, BODY, x_amzn_sagemaker_target_variant="one")
    for what, changed in (*tampered(head), ("loose", replace(head, path=PATH + "/"))):
        ask(world, head, BODY)
        with pytest.raises(ServiceError) as caught:
            ask(world, changed, BODY)
        assert caught.value.status in (400, 403), what
    with pytest.raises(ServiceError, match="signature we calculated"):
        ask(world, head, BODY + b"x")
    with pytest.raises(ServiceError, match="x-amz-target"):
        ask(world, replace(head, headers={**head.headers, "x-amz-target": "SageMaker.DeleteModel"}), BODY)


def test_a_known_clients_request_is_refused_when_it_is_old_or_for_another_service(world: World) -> None:
    head = invoked(world.keys, BODY)
    ask(world, head, BODY)
    with pytest.raises(ServiceError, match="correct service"):
        ask(world, head, BODY, "bedrock")
    for ahead[0] in (16 * 60.0, -16 * 60.0):
        with pytest.raises(ServiceError, match="Signature"):
            ask(world, head, BODY)
    ahead[0] = 0.0
    ask(world, head, BODY)


def test_a_session_that_ended_is_refused_though_it_was_known(world: World) -> None:
    keys = world.identity.begin_session(world.account, "KenjaExecutionRole", "AROAX", "short", 60)
    head = invoked(Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token), BODY)
    ask(world, head, BODY)
    ask(world, head, BODY)
    ahead[0] = 61.0
    with pytest.raises(ServiceError, match="expired"):
        ask(world, head, BODY)


@pytest.mark.parametrize("length", [0, 1, 32, 63, 64, 65, 200])
def test_a_signer_signs_as_the_standard_library_does(length: int) -> None:
    key = bytes(range(length))
    wanted = hmac.digest(key, b"some text", "sha256").hex()
    signer = Signer(key)
    assert signer.sign(b"some text") == signer.after(b"some ").sign(b"text") == signer.sign(b"some text") == wanted
