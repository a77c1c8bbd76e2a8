"""What an authenticated request carries on: who calls, where, and what its body still has to prove."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

from kenja.core.errors import ServiceError
from kenja.kernel.context import Principal
from kenja.kernel.identity import canonical
from kenja.kernel.identity.chunks import ChunkVerifier
from kenja.kernel.identity.refusals import Dialect, refusal
from kenja.kernel.identity.signer import Signer

UNSIGNED = "UNSIGNED-PAYLOAD"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED_CHUNKS = ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")
ALGORITHM = "AWS4-HMAC-SHA256"


class Headers(Protocol):
    """Headers by lower-case name; a dict is one."""

    def get(self, name: str, default: str, /) -> str: ...


class Incoming(Protocol):
    """The head of a request as it came: path and query raw, repeated headers joined by ","."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Expected:
    """What the addressed service wants: how it words errors, and its signing name (None: any)."""

    dialect: Dialect
    service: str | None


@dataclass(slots=True)
class Proof:
    """A SigV4 signature and what it covers, all but the payload's hash."""

    dialect: Dialect
    access_key: str
    signing_key: bytes
    timestamp: str
    scope: str
    head: str  # the canonical request up to the payload's hash
    signature: str

    def check(self, payload: str) -> None:
        """Raises the service's mismatch unless this signature covers `payload`, a hash or AWS's word for none."""
        request = canonical.octets(self.head + payload)
        text = f"{ALGORITHM}\n{self.timestamp}\n{self.scope}\n{sha256(request).hexdigest()}"
        wanted = _signer(self.signing_key).sign(text.encode())
        if not self.signature.isascii() or not hmac.compare_digest(wanted, self.signature):
            raise self._mismatch(self.head + payload, text)

    def chunks(self) -> ChunkVerifier:
        """What checks the chunks of the body."""
        return ChunkVerifier(self.signing_key, self.timestamp, self.scope, self.signature)

    def _mismatch(self, request: str, text: str) -> ServiceError:
        message = (
            "The request signature we calculated does not match the signature you provided. Check your AWS secret access "
            "key and signing method."
        )
        if self.dialect == "s3":
            return refusal(
                "s3",
                "mismatch",
                message,
                AWSAccessKeyId=self.access_key,
                StringToSign=text,
                SignatureProvided=self.signature,
                CanonicalRequest=request,
            )
        hints = f"The canonical string for this request is\n'{request}'\n\nThe string to sign is\n'{text}'"
        return refusal(self.dialect, "mismatch", f"{message}\n\n{hints}")


@lru_cache(maxsize=1024)
def _signer(key: bytes) -> Signer:
    return Signer(key)


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A caller whose signature is right, as far as it could be checked before the body: `check` does the rest."""

    principal: Principal
    region: str
    service: str  # the signing name in the credential scope
    dialect: Dialect
    payload: str  # SHA-256 that the body must have, one of AWS's words for unsigned and streaming ones, or ""
    pending: Proof | None = None  # set when the signature covers a hash that only the body tells
    chunks: ChunkVerifier | None = None  # set when each chunk of the body is signed

    @property
    def needs_sha256(self) -> bool:
        """True when `check` must be called with the body's SHA-256 before the request may be answered."""
        return self.pending is not None or len(self.payload) == 64

    def check(self, digest: str) -> None:
        """Hold the body's hexadecimal SHA-256 against the signature. Raises the service's mismatch."""
        if self.pending is not None:
            self.pending.check(digest)
        elif self.needs_sha256 and not hmac.compare_digest(digest, self.payload):
            raise refusal(
                self.dialect,
                "payload",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
                ClientComputedContentSHA256=self.payload,
                S3ComputedContentSHA256=digest,
            )
