"""Digests that a request names and that must fit its bytes: Content-MD5, x-amz-checksum-*, x-amz-content-sha256."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.objects import Checksum, Draft, checksums, crc

MEMBERS = {  # member of requests and answers -> algorithm
    f"Checksum{name}": name
    for name in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128")
}
_HEADERS = {f"x-amz-checksum-{name.lower()}": name for name in MEMBERS.values()}
_ABOUT = frozenset(
    {"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"}
)  # not checksums themselves
_STREAMS = frozenset({"PutObject", "UploadPart"})  # their bodies are hashed while they are stored
_PROTECTED = frozenset({"DeleteObjects"})  # what S3 does only for a body with a digest; S3 API Reference
DEFAULT = "CRC64NVME"
_HEXADECIMAL = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a request says of its body."""

    md5: bytes | None
    sha256: str | None  # hexadecimal, from the signature's header
    algorithm: str | None  # of the additional checksum
    value: str  # its base64, or empty when it is only asked for

    @property
    def algorithms(self) -> set[str]:
        """Which digests have to be computed."""
        return ({self.algorithm} if self.algorithm else set()) | ({"SHA256"} if self.sha256 else set())

    def check(self, context: Context, draft: Draft) -> None:
        """Raise S3's error when the bytes are not those that the client meant."""
        if self.sha256 is not None and draft.digests["SHA256"].hex() != self.sha256:
            raise context.error(
                "payload_hash", "The provided 'x-amz-content-sha256' header does not match what was computed.",
                ClientComputedContentSHA256=self.sha256, S3ComputedContentSHA256=draft.digests["SHA256"].hex(),
            )  # fmt: skip
        if self.md5 is not None and draft.digests["MD5"] != self.md5:
            raise _md5_mismatch(context, self.md5, draft.digests["MD5"])
        if self.algorithm and self.value and checksums.encoded(draft.digests, self.algorithm) != self.value:
            raise _mismatch(context, self.algorithm)

    def checksum(self, draft: Draft) -> Checksum | None:
        """What the object will show."""
        if self.algorithm is None:
            return None
        return Checksum(self.algorithm, checksums.FULL_OBJECT, checksums.encoded(draft.digests, self.algorithm))


def default_algorithm() -> str | None:
    """What S3 computes for an object that was sent without a checksum (S3 User Guide, Checking object integrity).

    None where that would be slow: nobody asked for it.
    """
    return DEFAULT if crc.is_fast(DEFAULT) else None


def expected(context: Context, request: Mapping[str, Any], body: object, *, default: str | None = None) -> Expected:
    """What a request with a body says of it. Raises S3's errors for what makes no sense.

    `default` is the algorithm of the checksum where the request names none.
    """
    given = claimed(request)
    trailers: Mapping[str, str] = getattr(body, "trailers", {})
    if context.http is not None:
        _check_names(context, context.http.headers, trailers)
    given.update({_HEADERS[name]: value for name, value in trailers.items() if name in _HEADERS})
    if len(given) > 1:
        raise context.error(
            "bad_request",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )
    named = request.get("ChecksumAlgorithm")
    algorithm, value = next(iter(given.items()), (named or default, ""))
    if named and algorithm != named:
        raise context.error("bad_request", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    if named and not value and context.http is not None:
        raise context.error(
            "bad_request",
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers "
            "were found.",
        )
    supported(context, algorithm)
    if value:
        _check_form(context, algorithm, value)
    payload = context.http.headers.get("x-amz-content-sha256", "") if context.http is not None else ""
    return Expected(
        _md5(context, request.get("ContentMD5")), payload if _HEXADECIMAL.fullmatch(payload) else None, algorithm, value
    )


def check_document(context: Context) -> None:
    """Compare the body of an operation that carries a document with what the headers say of it."""
    http = context.http
    if http is None or context.operation in _STREAMS:
        return
    names = [name for name in _HEADERS if name in http.headers]
    header = http.headers.get("content-md5")
    if header is None and not names:
        if context.operation in _PROTECTED:
            raise context.error(
                "bad_request", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
            )
        return
    trait = context.service.model.operation_model(context.operation).http_checksum
    if "requestAlgorithmMember" not in trait:  # the headers tell of an object, not of this body
        return
    body, md5 = http.body(), _md5(context, header)
    algorithms = {_HEADERS[name]: http.headers[name] for name in names}
    for algorithm in algorithms:
        supported(context, algorithm)
    hasher = checksums.Hasher({*algorithms, "MD5"})
    hasher.update(body)
    found = hasher.digests()
    if md5 is not None and md5 != found["MD5"]:
        raise _md5_mismatch(context, md5, found["MD5"])
    for algorithm, value in algorithms.items():
        if checksums.encoded(found, algorithm) != value:
            raise _mismatch(context, algorithm)


def claimed(request: Mapping[str, Any]) -> dict[str, str]:
    """The additional checksums in a request or a part of one, by algorithm."""
    return {algorithm: request[member] for member, algorithm in MEMBERS.items() if request.get(member)}


def supported(context: Context, algorithm: str | None) -> None:
    """Refuse an algorithm that can not be computed here."""
    if algorithm is not None and algorithm not in checksums.ALGORITHMS:
        allowed = ", ".join(sorted(checksums.ALGORITHMS))
        raise context.error("unsupported", f"The checksum algorithm {algorithm} is not served; use one of {allowed}.")


def shown(checksum: Checksum | None) -> dict[str, str]:
    """The members of an answer that tell of an object's checksum."""
    if checksum is None:
        return {}
    return {f"Checksum{checksum.algorithm}": checksum.value, "ChecksumType": checksum.kind}


def _check_names(context: Context, headers: Mapping[str, str], trailers: Mapping[str, str]) -> None:
    """Refuse checksums of unknown algorithms, and trailing headers that are not those that were announced."""
    if any(name.startswith("x-amz-checksum-") and name not in _HEADERS and name not in _ABOUT for name in headers):
        raise context.error("bad_request", "The algorithm type you specified in x-amz-checksum- header is invalid.")
    announced = {name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip()}
    if not announced <= _HEADERS.keys():
        raise context.error("bad_request", "The value specified in the x-amz-trailer header is not supported")
    if announced != trailers.keys():
        raise context.error(
            "trailer",
            f"The request announced the trailing headers {sorted(announced)} in x-amz-trailer, and has {sorted(trailers)}.",
        )


def _md5_mismatch(context: Context, claimed_md5: bytes, found: bytes) -> ServiceError:
    return context.error(
        "bad_digest", "The Content-MD5 you specified did not match what we received.",
        ExpectedDigest=claimed_md5.hex(), CalculatedDigest=base64.b64encode(found).decode(),
    )  # fmt: skip


def _mismatch(context: Context, algorithm: str) -> ServiceError:
    return context.error("bad_digest", f"The {algorithm} you specified did not match the calculated checksum.")


def _check_form(context: Context, algorithm: str | None, value: str) -> None:
    hasher = checksums.Hasher([algorithm or ""])
    try:
        fits = len(base64.b64decode(value, validate=True)) == len(hasher.digests()[algorithm or ""])
    except (binascii.Error, ValueError):
        fits = False
    if not fits:
        raise context.error("bad_request", f"Value for x-amz-checksum-{(algorithm or '').lower()} header is invalid.")


def _md5(context: Context, header: str | None) -> bytes | None:
    if header is None:
        return None
    try:
        value = base64.b64decode(header, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != 16:
        raise context.error("invalid_digest", "The Content-MD5 you specified was invalid.", **{"Content-MD5": header})
    return value
