"""From an HTTP request to identity: who signed its head, how its body is collected, and whether the body is the signed one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kenja.core.config import DEFAULT_REGION
from kenja.core.errors import ServiceError
from kenja.kernel.context import ANONYMOUS
from kenja.kernel.identity import Authenticated, ChunkVerifier, Dialect, Expected
from kenja.kernel.identity.proof import SIGNED_CHUNKS, UNSIGNED, UNSIGNED_TRAILER
from kenja.kernel.kernel import Kernel
from kenja.server.chain import hosts
from kenja.server.chain.body import Spool, Spooled
from kenja.server.chain.head import Head
from kenja.wire import models
from kenja.wire.chunked import ChunkedDecoder
from kenja.wire.select import select

if TYPE_CHECKING:
    from kenja.server.chain.route import Target

__all__ = ["NOBODY", "UPLOADS", "Authenticated", "check_payload", "spool", "verify"]

UPLOADS = frozenset({"s3"})  # services whose handlers read the body as a stream
MAX_OBJECT = 5 * 1024**3  # bytes of one upload; S3 User Guide, "Uploading objects"
MAX_REQUEST = 64 * 1024**2  # bytes of every other request; no AWS API of JSON or forms takes as much
NOBODY = Authenticated(ANONYMOUS, DEFAULT_REGION, "s3", "s3", UNSIGNED)
_SIGNS = ("X-Amz-Signature=", "X-Amz-Algorithm=", "AWSAccessKeyId=", "Signature=")  # what a signed query string has


def verify(kernel: Kernel, head: Head, target: Target) -> Authenticated:
    """The caller of a request: of S3's, nobody where nothing is signed. Raises ServiceError in the words of the service.

    `head` is the request as it was signed, with a pin if it has one.

    Where the signature covers a hash that only the body tells, `check_payload` completes the check; nothing may be
    done for the caller before it has returned.
    """
    service = target.manifest.signing_name
    dialect = _dialect(head, service)
    if dialect == "s3" and not head.headers.get("authorization") and not any(sign in head.query for sign in _SIGNS):
        payload = head.headers.get("x-amz-content-sha256")
        return NOBODY if payload != UNSIGNED_TRAILER else replace(NOBODY, payload=UNSIGNED_TRAILER)
    authorization = head.headers.get("authorization", "")
    if authorization[:7].lower() == "bearer " and hosts.takes_bearer(models.load(target.manifest.name).metadata):
        principal, region = kernel.identity.bear(authorization[7:], dialect, secure=head.scheme == "https")
        return Authenticated(principal, target.region or region, service, dialect, UNSIGNED)
    return kernel.identity.authenticate(head, Expected(dialect, service), target.bucket)


def spool(kernel: Kernel, target: Target, signed: Authenticated) -> Spool:
    """What collects the body: in files where a service takes uploads, without its `aws-chunked` coding, hashed."""
    decoder = _decoder(target.head, signed)
    if target.manifest.name not in UPLOADS:
        return Spool(None, MAX_REQUEST, decoder, md5=False, sha256=signed.needs_sha256)
    _check_announced(target.head)
    folder = kernel.objects.incoming_folder
    return Spool(folder, MAX_OBJECT, decoder, md5=True, sha256=signed.needs_sha256)


def check_payload(_target: Target, signed: Authenticated, payload: Spooled) -> None:
    """Refuse a body that is not the one that was signed. Raises ServiceError in the words of the service."""
    if signed.needs_sha256:
        signed.check(payload.digests["sha256"])


def _check_announced(head: Head) -> None:
    """Refuse an upload before its body comes, where its length alone forbids it."""
    announced = head.headers.get("x-amz-decoded-content-length") or head.headers.get("content-length", "")
    size = int(announced[:16]) if announced.isascii() and announced.isdigit() else 0
    if size > MAX_OBJECT:
        facts = {"ProposedSize": size, "MaxSizeAllowed": MAX_OBJECT}
        message = "Your proposed upload exceeds the maximum allowed size"
        raise ServiceError("EntityTooLarge", message, status=400, fields=facts)


def _dialect(head: Head, service: str) -> Dialect:
    if service == "s3":
        return "s3"
    written = select(head.headers, head.headers.get("content-type", ""), head.path, head.query)
    match written:
        case "query":
            return "query"
        case "rest":
            return "rest-json"
        case _:
            return "json"


def _decoder(head: Head, signed: Authenticated) -> ChunkedDecoder | None:
    if signed.payload != UNSIGNED_TRAILER and signed.payload not in SIGNED_CHUNKS:
        return None
    announced = head.headers.get("x-amz-decoded-content-length", "")
    if not announced.isascii() or not announced.isdigit():
        message = "An aws-chunked body must announce its plain length in x-amz-decoded-content-length."
        raise ServiceError("MissingContentLength", message, status=411)
    length = int(announced[:16])
    if signed.chunks is None:
        return ChunkedDecoder(length=length)
    return _SignedDecoder(length, signed.chunks, with_trailer=signed.payload == SIGNED_CHUNKS[1])


class _SignedDecoder(ChunkedDecoder):
    """A decoder that checks the signature of every chunk, and of the trailing headers where they are announced."""

    def __init__(self, length: int, verifier: ChunkVerifier, *, with_trailer: bool) -> None:
        super().__init__(length=length, verify=verifier.chunk)
        self._verifier = verifier
        self._with_trailer = with_trailer

    def finish(self) -> None:
        super().finish()
        if self._with_trailer or self.trailers:
            self._verifier.trailer(self.trailer_signature or "", self.trailer_text)
