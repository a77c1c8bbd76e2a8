"""Signature Version 4, by header and by query, as botocore's signers make it. Which key is whose is the key ring's.

AWS General Reference, "Signature Version 4 signing process"; Amazon S3 API Reference, "Authenticating requests".
S3 takes the path as it comes and always names the payload's hash; other services normalise the path and encode it
once more, and their clients leave the payload's hash to the receiver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from time import gmtime, strftime
from urllib.parse import unquote

from kenja.core.errors import ServiceError
from kenja.kernel.identity import canonical
from kenja.kernel.identity.keyring import ExpiredToken, Held, KeyRing, UnknownKey
from kenja.kernel.identity.proof import (
    ALGORITHM,
    SIGNED_CHUNKS,
    UNSIGNED,
    UNSIGNED_TRAILER,
    Authenticated,
    Expected,
    Headers,
    Incoming,
    Proof,
)
from kenja.kernel.identity.refusals import Dialect, refusal
from kenja.kernel.identity.sessions import BadToken

MAX_SKEW = 15 * 60  # seconds between the client's clock and ours; S3 and IAM documentation
MAX_EXPIRES = 7 * 24 * 60 * 60  # seconds; "X-Amz-Expires" in the S3 API Reference
DEFAULT_EXPIRES = 15 * 60  # seconds; where a service's signed URL names none
_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FORM = f"it must be '{ALGORITHM} Credential=…, SignedHeaders=…, Signature=…'"
_QUERY_PARTS = ("X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature")


_Message = tuple[str, str, Sequence[tuple[str, str]], Headers]  # method, raw path, query, headers


@dataclass(frozen=True, slots=True)
class Claim:
    """What stands before a signature, the same in every request of a client; nothing of it is believed yet."""

    access_key: str
    scope: str  # "date/region/service/aws4_request"
    date: str
    region: str
    service: str
    names: tuple[str, ...]  # signed headers
    signed: str  # the same, as the client wrote them


def header(request: Incoming, ring: KeyRing, expected: Expected, now: float) -> Authenticated:
    """Authenticate a request that is signed in its Authorization header. Raises ServiceError."""
    proof, held, claim = prove(request.method, request.path, request.query, request.headers, ring, expected, now)
    if expected.dialect == "s3":
        _all_signed(request.headers, claim.names)
    payload = request.headers.get("x-amz-content-sha256", "")
    _known_payload(expected.dialect, payload)
    return _authenticated(proof, held, claim, payload)


def prove(
    method: str, path: str, query: str, headers: Headers, ring: KeyRing, expected: Expected, now: float
) -> tuple[Proof, Held, Claim]:  # fmt: skip
    """The proof that a header-signed request offers; all of it is checked but the signature itself."""
    dialect = expected.dialect
    claim, signature = _claim(headers.get("authorization", ""), dialect)
    timestamp = _timestamp(headers, dialect)
    _scoped(claim, expected, timestamp)
    _not_skewed(timestamp, dialect, now)
    _must_be_signed(headers, claim.names, dialect)
    held = _held(ring, claim, headers.get("x-amz-security-token", ""), dialect, now)
    message = (method, path, canonical.pairs(query), headers)
    return _proof(message, claim, timestamp, ring.signing_key(held, claim.scope), dialect, signature), held, claim


def presigned(request: Incoming, ring: KeyRing, expected: Expected, now: float) -> Authenticated:
    """Authenticate a request that is signed in its query string. Raises ServiceError."""
    dialect, headers = expected.dialect, request.headers
    pairs = canonical.pairs(request.query)
    parameters = _parameters(pairs, dialect)
    claim = _query_claim(parameters, dialect)
    timestamp = parameters["X-Amz-Date"]
    _scoped(claim, expected, timestamp)
    _not_expired(timestamp, parameters.get("X-Amz-Expires"), dialect, now)
    _must_be_signed(headers, claim.names, dialect)
    if dialect == "s3":
        _all_signed(headers, claim.names)
    token = parameters.get("X-Amz-Security-Token") or headers.get("x-amz-security-token", "")
    held = _held(ring, claim, token, dialect, now)
    covered = [pair for pair in pairs if unquote(pair[0]) != "X-Amz-Signature"]
    message = (request.method, request.path, covered, headers)
    key = ring.signing_key(held, claim.scope)
    proof = _proof(message, claim, timestamp, key, dialect, parameters["X-Amz-Signature"])
    payload = headers.get("x-amz-content-sha256", "") if "x-amz-content-sha256" in claim.names else ""
    if dialect == "s3":
        payload = payload or parameters.get("X-Amz-Content-Sha256") or UNSIGNED
    _known_payload(dialect, payload)
    return _authenticated(proof, held, claim, payload)


def _authenticated(proof: Proof, held: Held, claim: Claim, payload: str) -> Authenticated:
    dialect = proof.dialect
    if payload:
        proof.check(payload)
    chunks = proof.chunks() if payload in SIGNED_CHUNKS else None
    pending = None if payload else proof
    return Authenticated(held.principal, claim.region, claim.service, dialect, payload, pending, chunks)


def _proof(message: _Message, claim: Claim, timestamp: str, key: bytes, dialect: Dialect, signature: str) -> Proof:
    method, path, pairs, headers = message
    uri = (path or "/") if dialect == "s3" else canonical.path(path)
    get = headers.get
    lines = "".join([f"{name}:{get(name, '')}\n" for name in claim.names])
    if canonical.loose(lines):
        lines = "".join([f"{name}:{canonical.header(get(name, ''))}\n" for name in claim.names])
    query = canonical.query(pairs) if pairs else ""
    head = f"{method}\n{uri}\n{query}\n{lines}\n{claim.signed}\n"
    return Proof(dialect, claim.access_key, key, timestamp, claim.scope, head, signature)


def _claim(authorization: str, dialect: Dialect) -> tuple[Claim, str]:
    """What a header claims, and its signature."""
    found, signature = _parse(authorization)
    if isinstance(found, Claim):
        return found, signature
    raise refusal(dialect, "malformed" if authorization.startswith(ALGORITHM) else "unsupported", found)


@lru_cache(maxsize=256)
def _rest(head: str) -> Claim | str:
    """A claim without its signature from all that stands before it: the same text in every request of a client."""
    parts: dict[str, str] = {}
    for piece in head.removeprefix(ALGORITHM).split(","):
        name, equals, value = piece.strip().partition("=")
        if equals and name not in parts:
            parts[name] = value
    missing = [name for name in ("Credential", "SignedHeaders") if not parts.get(name)]
    if missing:
        return f"Authorization header requires {' and '.join(missing)}; {_FORM}."
    return credential(parts["Credential"], parts["SignedHeaders"])


def _parse(authorization: str) -> tuple[Claim | str, str]:
    """What a header claims, or a sentence that says why it can not be read; and the signature."""
    head, found, signature = authorization.partition("Signature=")
    signature, comma, more = signature.partition(",")
    if not authorization.startswith(ALGORITHM + " "):
        return f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}.", ""
    if not found or not signature:
        return f"Authorization header requires Signature; {_FORM}.", ""
    return _rest(f"{head}{more}" if comma else head), signature.strip()


def credential(text: str, signed: str = "") -> Claim | str:
    """What "ACCESS_KEY/YYYYMMDD/REGION/SERVICE/aws4_request" claims, or a sentence that says why it can not be read."""
    access_key, _, scope = text.partition("/")
    parts = scope.split("/")
    if len(parts) != 4 or not access_key or parts[3] != "aws4_request":
        return f"The credential {text!r} is malformed; it must be 'ACCESS_KEY/YYYYMMDD/REGION/SERVICE/aws4_request'."
    date, region, service, _ = parts
    if not _REGION.fullmatch(region):
        return f"The credential names no region: {region!r}; a region is spelt like 'us-east-1'."
    return Claim(access_key, scope, date, region, service, tuple(signed.lower().split(";")), signed)


def _parameters(pairs: Sequence[tuple[str, str]], dialect: Dialect) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        plain = unquote(name)
        if plain.startswith("X-Amz-"):
            if plain in found:
                raise refusal(dialect, "malformed_query", f"The query string has {plain} more than once.")
            found[plain] = unquote(value)
    return found


def _query_claim(parameters: Mapping[str, str], dialect: Dialect) -> Claim:
    if parameters.get("X-Amz-Algorithm") != ALGORITHM:
        message = f"X-Amz-Algorithm {parameters.get('X-Amz-Algorithm')!r} is not supported; it must be {ALGORITHM}."
        raise refusal(dialect, "malformed_query", message)
    missing = [name for name in _QUERY_PARTS if not parameters.get(name)]
    if dialect == "s3" and "X-Amz-Expires" not in parameters:
        missing.append("X-Amz-Expires")
    if missing:
        raise refusal(dialect, "malformed_query", f"A signed query string must have {' and '.join(missing)} too.")
    found = credential(parameters["X-Amz-Credential"], parameters["X-Amz-SignedHeaders"])
    if isinstance(found, str):
        raise refusal(dialect, "malformed_query", found)
    return found


def _timestamp(headers: Headers, dialect: Dialect) -> str:
    stamp = headers.get("x-amz-date", "")
    if stamp:
        return stamp
    date = headers.get("date", "")
    if not date:
        message = "A signed request must have a valid Date or X-Amz-Date header; there is none."
        raise refusal(dialect, "unsigned_header" if dialect == "s3" else "malformed", message)
    if _STAMP.fullmatch(date):
        return date
    try:
        return strftime(_TIMESTAMP, gmtime(parsedate_to_datetime(date).timestamp()))
    except (ValueError, OverflowError, OSError):
        return date  # refused as no time by `seconds`


def _scoped(claim: Claim, expected: Expected, timestamp: str) -> None:
    if expected.service is not None and claim.service != expected.service:
        message = f"Credential should be scoped to correct service: {expected.service!r}, not {claim.service!r}."
        raise refusal(expected.dialect, "wrong_scope", message)
    if claim.date != timestamp[:8]:
        message = (
            f"Date in Credential scope does not match YYYYMMDD of the request's date: {claim.date!r} and {timestamp!r}."
        )
        raise refusal(expected.dialect, "wrong_scope", message)


@lru_cache(maxsize=256)
def seconds(stamp: str) -> int | None:
    """The time of an ISO 8601 basic timestamp in seconds since the epoch; None when it is none."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    try:
        return int(datetime(*(int(part) for part in match.groups()), tzinfo=UTC).timestamp())  # type: ignore[arg-type, misc]
    except ValueError:  # the thirteenth month
        return None


def _time(stamp: str, dialect: Dialect) -> int:
    found = seconds(stamp)
    if found is None:
        message = f"The request's date {stamp!r} is no time; it must be spelt like 20250131T235959Z."
        raise refusal(dialect, "unsigned_header" if dialect == "s3" else "malformed", message)
    return found


def _not_skewed(timestamp: str, dialect: Dialect, now: float) -> None:
    ahead = _time(timestamp, dialect) - now
    if -MAX_SKEW <= ahead <= MAX_SKEW:
        return
    raise _skewed(timestamp, dialect, now, late=ahead < 0)


def _skewed(timestamp: str, dialect: Dialect, now: float, *, late: bool) -> ServiceError:
    server = strftime(_TIMESTAMP, gmtime(now))
    if dialect == "s3":
        return refusal(
            "s3",
            "skewed",
            "The difference between the request time and the current time is too large.",
            RequestTime=timestamp,
            ServerTime=strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(now)),
            MaxAllowedSkewMilliseconds=MAX_SKEW * 1000,
        )
    bound = strftime(_TIMESTAMP, gmtime(now - MAX_SKEW if late else now + MAX_SKEW))
    if late:
        message = f"Signature expired: {timestamp} is now earlier than {bound} ({server} - 15 min.)"
    else:
        message = f"Signature not yet current: {timestamp} is still later than {bound} ({server} + 15 min.)"
    return refusal(dialect, "skewed", message)


def _not_expired(timestamp: str, given: str | None, dialect: Dialect, now: float) -> None:
    expires = str(DEFAULT_EXPIRES) if given is None else given
    if not expires.isascii() or not expires.isdigit() or int(expires[:12]) > MAX_EXPIRES:
        message = f"X-Amz-Expires is {expires!r}; it must be a number of seconds from 0 to {MAX_EXPIRES} (one week)."
        raise refusal(dialect, "malformed_query", message)
    begin = _time(timestamp, dialect)
    if begin - now > MAX_SKEW:
        if dialect == "s3":
            raise refusal("s3", "expired_url", "Request is not valid yet.")
        raise _skewed(timestamp, dialect, now, late=False)
    if now > begin + int(expires):
        if dialect != "s3":
            end = strftime(_TIMESTAMP, gmtime(begin + int(expires)))
            server = strftime(_TIMESTAMP, gmtime(now))
            raise refusal(dialect, "expired_url", f"Signature expired: {end} is now earlier than {server}.")
        raise expired("Request has expired.", begin + int(expires), now)


def expired(message: str, end: float, now: float) -> ServiceError:
    """S3's refusal of a signed URL whose time is over."""
    spelling = "%Y-%m-%dT%H:%M:%SZ"
    times = {"Expires": strftime(spelling, gmtime(end)), "ServerTime": strftime(spelling, gmtime(now))}
    return refusal("s3", "expired_url", message, **times)


def _held(ring: KeyRing, claim: Claim, token: str, dialect: Dialect, now: float) -> Held:
    return held(ring, claim.access_key, token, dialect, now)


def held(ring: KeyRing, access_key: str, token: str, dialect: Dialect, now: float) -> Held:
    """The key that a signature names. Raises the service's own error when there is none or its session ended."""
    try:
        return ring.hold(access_key, token, now)
    except UnknownKey:
        if dialect == "s3":
            message = "The AWS Access Key Id you provided does not exist in our records."
            raise refusal("s3", "unknown_key", message, AWSAccessKeyId=access_key) from None
        raise refusal(dialect, "unknown_key", "The security token included in the request is invalid.") from None
    except ExpiredToken:
        text = (
            "The provided token has expired."
            if dialect == "s3"
            else "The security token included in the request is expired"
        )
        raise refusal(dialect, "expired_token", text) from None
    except BadToken as error:
        text = "The security token included in the request is invalid"
        raise refusal(dialect, "bad_token", f"{text}: {error}.") from None


def _must_be_signed(headers: Headers, names: Sequence[str], dialect: Dialect) -> None:
    unsigned = "host" if "host" not in names else None
    if unsigned is None and "x-amz-target" not in names and headers.get("x-amz-target", ""):
        unsigned = "x-amz-target"
    if unsigned is not None:
        message = f"{unsigned!r} must be a 'SignedHeader' in the AWS Authorization."
        raise refusal(dialect, "unsigned_header", message, HeadersNotSigned=unsigned)


def _all_signed(headers: Mapping[str, str], names: Sequence[str]) -> None:
    """S3 wants every `x-amz-` header signed; the payload's hash is covered in any case."""
    unsigned = [
        name for name in headers if name.startswith("x-amz-") and name not in names and name != "x-amz-content-sha256"
    ]
    if unsigned:
        message = "There were headers present in the request which were not signed."
        raise refusal("s3", "unsigned_header", message, HeadersNotSigned=", ".join(sorted(unsigned)))


def _known_payload(dialect: Dialect, payload: str) -> None:
    if not payload:
        if dialect == "s3":
            raise refusal("s3", "missing_header", "Missing required header for this request: x-amz-content-sha256.")
        return
    words = (UNSIGNED, UNSIGNED_TRAILER, *SIGNED_CHUNKS) if dialect == "s3" else (UNSIGNED,)
    if payload not in words and not _SHA256.fullmatch(payload):
        message = f"x-amz-content-sha256 is {payload!r}; it must be {', '.join(words)} or a SHA-256 in lower-case hexadecimal."
        raise refusal(dialect, "bad_argument", message)
