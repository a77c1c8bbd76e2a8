"""Signatures: what botocore signs is accepted, and no part of it can be changed."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.auth
import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from kenja.core.clock import Clock
from kenja.core.errors import ServiceError
from kenja.kernel.identity import Expected, Identity
from kenja.kernel.resources.store import Store

REGION = "eu-west-1"
HOST = "127.0.0.1:4566"


@dataclass(frozen=True)
class Head:
    method: str
    path: str
    query: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    identity: Identity
    account: str
    keys: Credentials
    session: Credentials


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('identity') / 'kenja.db'}", Clock())
    identity = Identity(store, Clock())
    root = identity.create_account("123456789012")
    session = identity.execution_role_session("123456789012")
    yield World(
        identity,
        root.account,
        Credentials(root.access_key_id, root.secret_access_key),
        Credentials(session.access_key_id, session.secret_access_key, session.session_token),
    )
    store.close()


def signed(
    signer: Any, method: str, path: str, query: str = "", headers: dict[str, str] | None = None, body: bytes = b""
) -> Head:
    """The head of a request as it goes over the wire once `signer` is done with it."""
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, headers=headers or {}, data=body)
    signer.add_auth(request)
    prepared = request.prepare()
    found: dict[str, str] = {"host": HOST}
    for name, value in request.headers.items():
        text = value.decode() if isinstance(value, bytes) else value
        name = name.lower()
        found[name] = f"{found[name]},{text}" if name in found and name != "host" else text
    parts = urlsplit(prepared.url)
    return Head(method, parts.path, parts.query, found)


def presigned(signer: Any, method: str, path: str, query: str = "") -> Head:
    """What anyone sends who was given the URL: nothing but the host in its headers."""
    return replace(signed(signer, method, path, query), headers={"host": HOST})


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def accept(world: World, head: Head, body: bytes, dialect: str = "rest-json", service: str = "sagemaker") -> Any:
    found = world.identity.authenticate(head, Expected(dialect, service))
    if found.needs_sha256:
        found.check(sha256(body))
    return found


def refused(
    world: World, head: Head, body: bytes, dialect: str = "rest-json", service: str = "sagemaker"
) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        accept(world, head, body, dialect, service)
    return caught.value


SEGMENT = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r\n/", exclude_categories=("Cs",)), min_size=0, max_size=8
)
PATHS = st.lists(
    st.one_of(SEGMENT, st.sampled_from([".", "..", "", "a b", "a+b", "%41", "~", "*", "café", "=&?"])), max_size=4
)
WORD = st.text("abcXYZ019 -_.~+/=&%:é日*'()", max_size=6)
QUERIES = st.lists(st.tuples(st.sampled_from(["a", "A", "b", "a b", "list-type", "é", "a-b"]), WORD), max_size=5)
VALUES = st.text("abc  019;=,\"'", max_size=12).map(lambda text: f"v{text}")
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "x-amz-meta-a", "x-custom", "x-amz-acl", "range"]), VALUES, max_size=3
)
BODIES = st.binary(max_size=40)


def raw_path(segments: list[str]) -> str:
    return "/" + "/".join(quote(segment, safe="~") for segment in segments)


def raw_query(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in pairs)


@pytest.mark.parametrize("with_session", [False, True])
@settings(max_examples=700, deadline=None)
@given(
    segments=PATHS,
    pairs=QUERIES,
    headers=HEADERS,
    body=BODIES,
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]),
)
def test_what_botocore_signs_in_a_header_is_accepted(
    world: World, with_session: bool, segments: Any, pairs: Any, headers: Any, body: bytes, method: str
) -> None:
    keys = world.session if with_session else world.keys
    for dialect, service, signer in (("s3", "s3", S3SigV4Auth), ("rest-json", "sagemaker", SigV4Auth)):
        head = signed(signer(keys, service, REGION), method, raw_path(segments), raw_query(pairs), dict(headers), body)
        found = accept(world, head, body, dialect, service)
        assert (found.principal.account, found.region, found.principal.access_key) == (
            world.account,
            REGION,
            keys.access_key,
        )
        if body:
            assert refused(world, head, body + b"x", dialect, service).code in (
                "XAmzContentSHA256Mismatch",
                "InvalidSignatureException",
            )


@settings(max_examples=500, deadline=None)
@given(segments=PATHS, pairs=QUERIES, body=BODIES, with_session=st.booleans(), expires=st.integers(60, 604800))
def test_what_botocore_presigns_is_accepted(
    world: World, segments: Any, pairs: Any, body: bytes, with_session: bool, expires: int
) -> None:
    keys = world.session if with_session else world.keys
    pairs = list(dict(pairs).items())  # botocore's presigners keep one value of a repeated key
    path, query = raw_path(segments), raw_query(pairs)
    for signer in (S3SigV4QueryAuth(keys, "s3", REGION, expires), HmacV1QueryAuth(keys, expires)):
        found = accept(world, presigned(signer, "GET", path, query), body, "s3", "s3")
        assert found.principal.access_key == keys.access_key
    head = presigned(SigV4QueryAuth(keys, "sagemaker", REGION, expires), "GET", path, query)
    assert accept(world, head, b"").region == REGION
    assert refused(world, head, b"x").code == "InvalidSignatureException"


@settings(max_examples=300, deadline=None)
@given(segments=PATHS, pairs=QUERIES, headers=HEADERS, body=BODIES, with_session=st.booleans(), named=st.booleans())
def test_the_fast_way_accepts_the_same(
    world: World, segments: Any, pairs: Any, headers: Any, body: bytes, with_session: bool, named: bool
) -> None:
    keys = world.session if with_session else world.keys
    signer = (S3SigV4Auth if named else SigV4Auth)(keys, "sagemaker", REGION)  # the first one names the payload's hash
    signer._normalize_url_path = SigV4Auth._normalize_url_path.__get__(signer)
    head = signed(signer, "POST", raw_path(segments), raw_query(pairs), dict(headers), body)
    raw = {name.encode(): value.encode("latin-1") for name, value in head.headers.items()}
    principal, region = world.identity.verify_fast(head.method, head.path, head.query, raw, body)
    assert (principal.access_key, region) == (keys.access_key, REGION)
    with pytest.raises(ServiceError) as caught:
        world.identity.verify_fast(head.method, head.path, head.query, raw, body + b"x")
    assert caught.value.code == "InvalidSignatureException"


def tampered(head: Head) -> Iterator[tuple[str, Head]]:
    """A request with one thing changed, for every thing that its signature must cover."""
    yield "method", replace(head, method="DELETE" if head.method != "DELETE" else "GET")
    yield "path", replace(head, path=head.path + "x")
    yield "query", replace(head, query=head.query + "&versions=" if head.query else "versions=")
    for name, value in head.headers.items():
        if name == "authorization":
            for part in value.replace(",", " ").split()[1:]:
                at = value.index(part) + len(part) - 2
                other = "0" if value[at] != "0" else "1"
                yield part, replace(head, headers={**head.headers, name: value[:at] + other + value[at + 1 :]})
            for piece in value.split(", "):
                yield f"no {piece}", replace(head, headers={**head.headers, name: value.replace(piece, "")})
        else:
            yield name, replace(head, headers={**head.headers, name: f"{value}0"})
            yield f"no {name}", replace(head, headers={k: v for k, v in head.headers.items() if k != name})


@pytest.mark.parametrize("with_session", [False, True])
@pytest.mark.parametrize(
    ("dialect", "service", "signer"),
    [("s3", "s3", S3SigV4Auth), ("query", "iam", SigV4Auth), ("json", "logs", SigV4Auth)],
)
def test_no_part_of_a_header_signed_request_can_change(
    world: World, dialect: str, service: str, signer: Any, with_session: bool
) -> None:
    keys = world.session if with_session else world.keys
    headers = {"x-amz-meta-a": "b", "content-type": "text/plain", "x-amz-target": "Logs_20140328.X"}
    head = signed(signer(keys, service, REGION), "PUT", "/bucket/a%20b", "partNumber=1&uploadId=u", headers, b"body")
    accept(world, head, b"body", dialect, service)
    count = 0
    for what, changed in tampered(head):
        error = refused(world, changed, b"body", dialect, service)
        assert error.status in (400, 403), what
        count += 1
    assert count > 15
    added = replace(head, headers={**head.headers, "x-amz-acl": "public-read"})
    if dialect == "s3":
        assert refused(world, added, b"body", dialect, service).fields["HeadersNotSigned"] == "x-amz-acl"


@pytest.mark.parametrize("signer", [S3SigV4QueryAuth, HmacV1QueryAuth])
@pytest.mark.parametrize("with_session", [False, True])
def test_no_part_of_a_presigned_url_can_change(world: World, signer: Any, with_session: bool) -> None:
    keys = world.session if with_session else world.keys
    made = signer(keys, "s3", REGION) if signer is S3SigV4QueryAuth else signer(keys)
    query = "partNumber=1&response-content-type=text%2Fplain&uploadId=u"
    head = presigned(made, "PUT", "/bucket/a%20b", query)
    accept(world, head, b"any", "s3", "s3")
    pieces = head.query.split("&")
    for at, piece in enumerate(pieces):
        name, _, value = piece.partition("=")
        middle = len(value) // 2
        other = "0" if value[middle] != "0" else "1"
        changed = f"{name}={value[:middle]}{other}{value[middle + 1 :]}"
        for replacement in ([changed], []):
            query = "&".join(pieces[:at] + replacement + pieces[at + 1 :])
            assert refused(world, replace(head, query=query), b"", "s3", "s3").status in (400, 403), piece
    assert refused(world, replace(head, method="GET"), b"", "s3", "s3").code == "SignatureDoesNotMatch"
    assert refused(world, replace(head, path="/bucket/a"), b"", "s3", "s3").code == "SignatureDoesNotMatch"
    assert refused(world, replace(head, query=head.query + "&acl"), b"", "s3", "s3").code == "SignatureDoesNotMatch"
    acl = replace(head, headers={**head.headers, "x-amz-acl": "public-read"})
    assert refused(world, acl, b"", "s3", "s3").code in ("AccessDenied", "SignatureDoesNotMatch")


def test_sigv2_signs_sub_resources_and_headers(world: World) -> None:
    headers = {"content-type": "text/plain", "content-md5": "XrY7u+Ae7tCTyyK7j1rNww==", "x-amz-meta-a": "b"}
    head = signed(HmacV1QueryAuth(world.keys), "PUT", "/bucket/key", "uploads&acl=&unrelated=1", headers)
    accept(world, head, b"", "s3", "s3")
    for name in headers:
        changed = replace(head, headers={**head.headers, name: "other"})
        assert refused(world, changed, b"", "s3", "s3").code == "SignatureDoesNotMatch"
    accept(world, replace(head, query=head.query.replace("unrelated=1", "unrelated=2")), b"", "s3", "s3")


def test_sigv2_in_a_header_is_refused(world: World) -> None:
    head = signed(botocore.auth.HmacV1Auth(world.keys), "GET", "/bucket")
    error = refused(world, head, b"", "s3", "s3")
    assert (error.code, error.status) == ("InvalidRequest", 400)
    assert "AWS4-HMAC-SHA256" in error.message


def at(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """botocore's clock, that many seconds from now."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_a, **_k: moment.replace(tzinfo=None))
    monkeypatch.setattr(botocore.auth.time, "time", moment.timestamp)


@pytest.mark.parametrize(
    ("dialect", "service", "code", "status"),
    [
        ("s3", "s3", "RequestTimeTooSkewed", 403),
        ("query", "sts", "SignatureDoesNotMatch", 403),
        ("json", "logs", "InvalidSignatureException", 400),
        ("rest-json", "sagemaker", "InvalidSignatureException", 403),
    ],
)
def test_a_wrong_clock_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, dialect: str, service: str, code: str, status: int
) -> None:
    signer = (S3SigV4Auth if dialect == "s3" else SigV4Auth)(world.keys, service, REGION)
    for skew, word in ((-1000, "expired"), (1000, "not yet current")):
        with monkeypatch.context() as patch:
            at(patch, skew)
            head = signed(signer, "GET", "/")
        error = refused(world, head, b"", dialect, service)
        assert (error.code, error.status) == (code, status)
        assert word in error.message or dialect == "s3"
    for skew in (-800, 800):
        with monkeypatch.context() as patch:
            at(patch, skew)
            head = signed(signer, "GET", "/")
        accept(world, head, b"", dialect, service)


def test_an_old_presigned_url_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for make in (lambda: S3SigV4QueryAuth(world.keys, "s3", REGION, 60), lambda: HmacV1QueryAuth(world.keys, 60)):
        with monkeypatch.context() as patch:
            at(patch, -90)
            head = signed(make(), "GET", "/bucket/key")
        error = refused(world, head, b"", "s3", "s3")
        assert (error.code, error.status, error.message) == ("AccessDenied", 403, "Request has expired.")
    with monkeypatch.context() as patch:
        at(patch, -50)
        accept(world, signed(S3SigV4QueryAuth(world.keys, "s3", REGION, 60), "GET", "/bucket/key"), b"", "s3", "s3")
    with monkeypatch.context() as patch:
        at(patch, -90)
        head = signed(SigV4QueryAuth(world.keys, "sagemaker", REGION, 60), "GET", "/")
    assert refused(world, head, b"").message.startswith("Signature expired")


@pytest.mark.parametrize("expires", [604801, -1, "week", 10**30])
def test_presigned_urls_live_at_most_a_week(world: World, expires: Any) -> None:
    head = signed(S3SigV4QueryAuth(world.keys, "s3", REGION, expires), "GET", "/bucket/key")
    assert refused(world, head, b"", "s3", "s3").code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize(
    ("dialect", "service", "unknown", "missing", "mismatch"),
    [
        ("s3", "s3", "InvalidAccessKeyId", "AccessDenied", "SignatureDoesNotMatch"),
        ("query", "iam", "InvalidClientTokenId", "MissingAuthenticationToken", "SignatureDoesNotMatch"),
        (
            "json",
            "logs",
            "UnrecognizedClientException",
            "MissingAuthenticationTokenException",
            "InvalidSignatureException",
        ),
        (
            "rest-json",
            "sagemaker",
            "UnrecognizedClientException",
            "MissingAuthenticationTokenException",
            "InvalidSignatureException",
        ),
    ],
)
def test_each_service_names_its_refusals(
    world: World, dialect: str, service: str, unknown: str, missing: str, mismatch: str
) -> None:
    signer = S3SigV4Auth if dialect == "s3" else SigV4Auth
    stranger = Credentials("AKIAIOSFODNN7EXAMPLE", "secret")
    head = signed(signer(stranger, service, REGION), "GET", "/")
    assert refused(world, head, b"", dialect, service).code == unknown
    assert refused(world, Head("GET", "/", "", {"host": HOST}), b"", dialect, service).code == missing
    forger = Credentials(world.keys.access_key, "secret")
    error = refused(world, signed(signer(forger, service, REGION), "GET", "/p"), b"", dialect, service)
    assert error.code == mismatch
    canonical = error.fields["CanonicalRequest"] if dialect == "s3" else error.message
    assert "GET\n/p\n" in canonical
    assert (error.fields["StringToSign"] if dialect == "s3" else error.message).count("AWS4-HMAC-SHA256")


@pytest.mark.parametrize(
    ("dialect", "code"), [("s3", "AuthorizationHeaderMalformed"), ("query", "SignatureDoesNotMatch")]
)
def test_a_signature_for_another_service_is_refused(world: World, dialect: str, code: str) -> None:
    signer = S3SigV4Auth if dialect == "s3" else SigV4Auth
    error = refused(
        world, signed(signer(world.keys, "ec2", REGION), "GET", "/"), b"", dialect, "s3" if dialect == "s3" else "sts"
    )
    assert error.code == code
    assert "ec2" in error.message


AUTHORIZATIONS = [
    "AWS4-HMAC-SHA256",
    "AWS4-HMAC-SHA256 ",
    "AWS4-HMAC-SHA256 Credential=A/20250101/r/s/aws4_request",
    "AWS4-HMAC-SHA256 Credential=A/20250101/r/s/aws4_request, SignedHeaders=host",
    "AWS4-HMAC-SHA256 Credential=A, SignedHeaders=host, Signature=00",
    "AWS4-HMAC-SHA256 Credential=, SignedHeaders=host, Signature=00",
    "AWS4-HMAC-SHA256 Credential=A/1/r/s/aws5_request, SignedHeaders=host, Signature=00",
    "AWS4-HMAC-SHA256 Credential=A/1/../s/aws4_request, SignedHeaders=host, Signature=00",
    "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00",
    "AWS4-HMAC-SHA256 Signature=",
    "AWS4-ECDSA-P256-SHA256 Credential=A/20250101/s/aws4_request, SignedHeaders=host, Signature=00",
    "Bearer abc",
    "Basic dXNlcjpwYXNz",
    "\x00\xff",
]


@pytest.mark.parametrize("authorization", AUTHORIZATIONS)
@pytest.mark.parametrize("dialect", ["s3", "query", "json", "rest-json"])
def test_a_broken_authorization_header_is_refused(world: World, authorization: str, dialect: str) -> None:
    head = Head("GET", "/", "", {"host": HOST, "authorization": authorization, "x-amz-date": "20250101T000000Z"})
    error = refused(world, head, b"", dialect, "s")
    assert error.code in (
        "AuthorizationHeaderMalformed",
        "InvalidRequest",
        "IncompleteSignature",
        "IncompleteSignatureException",
    )


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_hostile_heads_are_refused_and_never_crash(world: World, data: st.DataObject) -> None:
    junk = st.text(st.characters(max_codepoint=255), max_size=60)
    prefix = data.draw(
        st.sampled_from(
            [
                "",
                "AWS4-HMAC-SHA256 ",
                "AWS4-HMAC-SHA256 Credential=A/20250101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=",
            ]
        )
    )
    names = st.sampled_from(["x-amz-date", "date", "x-amz-security-token", "x-amz-content-sha256", "x-amz-target"])
    headers = {"host": HOST, "authorization": prefix + data.draw(junk), **data.draw(st.dictionaries(names, junk))}
    query = data.draw(
        st.one_of(
            junk,
            junk.map(lambda t: f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={t}"),
            junk.map(lambda t: f"AWSAccessKeyId={t}&Expires=99999999999&Signature=x"),
        )
    )
    for dialect in ("s3", "query", "json", "rest-json"):
        refused(world, Head("GET", data.draw(junk), query, headers), b"", dialect, "s3")
        if not headers["authorization"]:
            continue
        refused(world, Head("GET", "/", query, {"host": HOST}), b"", dialect, "s3")


@pytest.mark.parametrize("date", ["", "20251301T000000Z", "20250230T000000Z", "yesterday", "20250101"])
@pytest.mark.parametrize("dialect", ["s3", "json"])
def test_a_date_that_is_none_is_refused(world: World, dialect: str, date: str) -> None:
    scope = f"{world.keys.access_key}/{date[:8]}/{REGION}/s3/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}"
    headers = {"host": HOST, "authorization": authorization, "x-amz-date": date, "x-amz-content-sha256": sha256(b"")}
    error = refused(world, Head("GET", "/", "", headers), b"", dialect, "s3")
    assert error.code in ("AccessDenied", "IncompleteSignatureException")


def test_a_date_header_takes_the_place_of_x_amz_date(world: World) -> None:
    head = signed(
        SigV4Auth(world.keys, "sagemaker", REGION), "GET", "/", headers={"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}
    )
    assert "x-amz-date" not in head.headers
    accept(world, head, b"")


def test_the_host_must_be_signed(world: World) -> None:
    signer = SigV4Auth(world.keys, "sagemaker", REGION)
    headers_to_sign = signer.headers_to_sign

    def without_host(request: Any) -> Any:
        chosen = headers_to_sign(request)
        del chosen["host"]
        return chosen

    signer.headers_to_sign = without_host
    error = refused(world, signed(signer, "GET", "/"), b"")
    assert "'host' must be a 'SignedHeader'" in error.message


@pytest.mark.parametrize("value", [None, "", "abc", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"])
def test_s3_wants_to_know_the_payload(world: World, value: str | None) -> None:
    head = signed(S3SigV4Auth(world.keys, "s3", REGION), "GET", "/")
    headers = {name: text for name, text in head.headers.items() if name != "x-amz-content-sha256"}
    if value is not None:
        headers["x-amz-content-sha256"] = value
    assert refused(world, replace(head, headers=headers), b"", "s3", "s3").code in ("InvalidRequest", "InvalidArgument")


def test_two_signatures_are_one_too_many(world: World) -> None:
    head = signed(S3SigV4Auth(world.keys, "s3", REGION), "GET", "/")
    url = signed(S3SigV4QueryAuth(world.keys, "s3", REGION), "GET", "/")
    assert refused(world, replace(head, query=url.query), b"", "s3", "s3").code == "InvalidArgument"


def test_a_repeated_parameter_of_a_presigned_url_is_refused(world: World) -> None:
    for signer in (S3SigV4QueryAuth(world.keys, "s3", REGION), HmacV1QueryAuth(world.keys)):
        head = signed(signer, "GET", "/")
        for piece in head.query.split("&"):
            assert refused(world, replace(head, query=f"{head.query}&{piece}"), b"", "s3", "s3").status in (400, 403)


class _Streaming(S3SigV4Auth):
    word = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"

    def payload(self, request: Any) -> str:
        return self.word


class _StreamingTrailer(_Streaming):
    word = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"


def test_signed_chunks_are_checked_one_by_one(world: World) -> None:
    head = signed(_StreamingTrailer(world.keys, "s3", REGION), "PUT", "/b/k")
    stamp, date = head.headers["x-amz-date"], head.headers["x-amz-date"][:8]
    scope = f"{date}/{REGION}/s3/aws4_request"
    key = f"AWS4{world.keys.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    previous = head.headers["authorization"].rpartition("=")[2]

    def sign(algorithm: str, rest: str) -> str:
        return hmac.digest(key, f"{algorithm}\n{stamp}\n{scope}\n{previous}\n{rest}".encode(), "sha256").hex()

    verifier = accept(world, head, b"", "s3", "s3").chunks
    for data in (b"a" * 1000, b"b", b""):
        right = sign("AWS4-HMAC-SHA256-PAYLOAD", f"{sha256(b'')}\n{sha256(data)}")
        for wrong in ((right, data + b"!"), (right[::-1], data), ("", data)):
            with pytest.raises(ServiceError, match="SignatureDoesNotMatch"):
                verifier.chunk(*wrong)
        verifier.chunk(right, data)
        previous = right
    trailer = b"x-amz-checksum-crc32:AAAAAA==\n"
    right = sign("AWS4-HMAC-SHA256-TRAILER", sha256(trailer))
    with pytest.raises(ServiceError, match="SignatureDoesNotMatch"):
        verifier.trailer(right, trailer.replace(b"A", b"B"))
    verifier.trailer(right, trailer)


@pytest.mark.parametrize(
    ("word", "chunks"),
    [
        ("UNSIGNED-PAYLOAD", False),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", False),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", True),
    ],
)
def test_s3_accepts_payloads_that_are_not_hashed_up_front(world: World, word: str, chunks: bool) -> None:
    signer = _Streaming(world.keys, "s3", REGION)
    signer.word = word
    found = accept(world, signed(signer, "PUT", "/b/k"), b"anything", "s3", "s3")
    assert (found.payload, found.needs_sha256, found.chunks is not None) == (word, False, chunks)


def test_random_bits_of_a_signed_request_are_all_covered(world: World) -> None:
    """A thousand random one-character changes of everything that is signed; none is accepted."""
    random.seed(7)
    head = signed(
        SigV4Auth(world.session, "sagemaker", REGION),
        "POST",
        "/endpoints/e/invocations",
        "a=b",
        {"content-type": "text/csv"},
        b"1,2,3",
    )
    for _ in range(1000):
        name = random.choice(
            ["path", "query", *[name for name in head.headers if name != "authorization"], "authorization"]
        )
        text = getattr(head, name) if name in ("path", "query") else head.headers[name]
        place = random.randrange(len(text))
        if text[place] in " ," and name == "authorization":
            continue
        other = random.choice([c for c in "abcdefXYZ0189" if c.lower() != text[place].lower()])
        changed = text[:place] + other + text[place + 1 :]
        edited = (
            replace(head, **{name: changed})
            if name in ("path", "query")
            else replace(head, headers={**head.headers, name: changed})
        )
        refused(world, edited, b"1,2,3")
