"""AWS's own Signature Version 4 cases, from botocore's source package: what AWS calls well signed is accepted, one changed bit is not."""

from __future__ import annotations

import hashlib
from calendar import timegm
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kenja.core.errors import ServiceError
from kenja.kernel.context import Principal
from kenja.kernel.identity import sigv4
from kenja.kernel.identity.keyring import Held, KeyRing
from kenja.kernel.identity.proof import Expected
from tests.golden import source

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # published with the cases
NOW = timegm((2015, 8, 30, 12, 36, 0))
PRINCIPAL = Principal("123456789012", "arn:aws:iam::123456789012:root", "123456789012", KEY)
EXPECTED = Expected("json", "service")
CASES = 32  # folders with a signed request


@dataclass(frozen=True)
class Request:
    """A case's request as a server has it: repeated headers joined by ",", a folded line joined to the one before."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Ring(KeyRing):
    """The published key; nobody else."""

    def __init__(self) -> None:
        self._signing = {}

    def hold(self, access_key: str, token: str, now: float) -> Held:
        assert access_key == KEY
        return Held(SECRET, PRINCIPAL, now + 60)


def read(path: Path) -> Request:
    """As HTTP/1.1 has it on the wire: octets as latin-1, of which the path is not percent-encoded by the cases."""
    head, _, body = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    method, target = first.removesuffix(" HTTP/1.1").split(" ", 1)
    headers: dict[str, str] = {}
    name = ""
    for line in lines:
        if line.startswith((" ", "\t")):
            headers[name] += " " + line.strip()  # a folded line; RFC 7230, 3.2.4
            continue
        name, _, value = line.partition(":")
        name = name.lower()
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
    headers["authorization"] = (
        path.with_suffix(".authz").read_text().strip()
    )  # in one case .sreq has a made-up signature
    raw, _, query = target.partition("?")
    return Request(method, raw, query, headers, body)


@pytest.fixture(scope="module")
def cases() -> dict[str, Request]:
    try:
        folder = source.folder("auth") / "aws4_testsuite"
    except source.Unavailable as reason:
        pytest.skip(f"the signature cases need botocore's source package, once: {reason}")
    return {path.stem: read(path) for path in sorted(folder.rglob("*.sreq"))}


def refusal(request: Request) -> str:
    try:
        found = sigv4.header(request, Ring(), EXPECTED, NOW)
        found.check(hashlib.sha256(request.body).hexdigest())
    except ServiceError as error:
        return f"{error.code}: {error.message}"
    return ""


def test_every_case_of_aws_is_accepted(cases: dict[str, Request]) -> None:
    assert len(cases) >= CASES
    assert {name: why for name, request in cases.items() if (why := refusal(request))} == {}


def test_no_case_survives_a_change(cases: dict[str, Request]) -> None:
    """Another method, path, query, header, body or signature is another request."""
    accepted = []
    for name, request in cases.items():
        signature = request.headers["authorization"]
        turned = signature[:-1] + ("0" if signature[-1] != "0" else "1")
        changed = {
            "method": replace(request, method="PUT"),
            "path": replace(request, path=request.path.rstrip("/") + "/more"),
            "query": replace(request, query=request.query + "&more=1"),
            "date": replace(request, headers=request.headers | {"x-amz-date": "20150830T123601Z"}),
            "host": replace(request, headers=request.headers | {"host": "example.com"}),
            "body": replace(request, body=request.body + b" "),
            "signature": replace(request, headers=request.headers | {"authorization": turned}),
        }
        accepted += [
            f"{name}/{what}" for what, other in changed.items() if not refusal(other).startswith("InvalidSignature")
        ]
    assert accepted == []
