"""Signatures of single chunks (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD`): each one covers the chunk and the signature before."""

from __future__ import annotations

import hashlib
import hmac

from kenja.core.errors import ServiceError
from kenja.kernel.identity.refusals import refusal

_EMPTY = hashlib.sha256(b"").hexdigest()


class ChunkVerifier:
    """Checks the chunks of one upload in their order; the last one is empty. Not thread safe."""

    def __init__(self, signing_key: bytes, timestamp: str, scope: str, seed: str) -> None:
        """`seed` is the signature of the request itself."""
        self._key = signing_key
        self._head = f"{timestamp}\n{scope}\n"
        self._previous = seed

    def chunk(self, signature: str, data: bytes) -> None:
        """Check the next chunk. Raises SignatureDoesNotMatch."""
        rest = f"{_EMPTY}\n{hashlib.sha256(data).hexdigest()}"
        self._check("AWS4-HMAC-SHA256-PAYLOAD", signature, rest, "chunk")

    def trailer(self, signature: str, lines: bytes) -> None:
        """Check the trailing headers, each as `name:value` and a line feed. Raises SignatureDoesNotMatch."""
        self._check("AWS4-HMAC-SHA256-TRAILER", signature, hashlib.sha256(lines).hexdigest(), "trailer")

    def _check(self, algorithm: str, signature: str, rest: str, what: str) -> None:
        text = f"{algorithm}\n{self._head}{self._previous}\n{rest}"
        wanted = hmac.digest(self._key, text.encode(), "sha256").hex()
        if not hmac.compare_digest(wanted.encode(), signature.encode("utf-8", "replace")):
            raise self._mismatch(what, text, signature)
        self._previous = wanted

    @staticmethod
    def _mismatch(what: str, text: str, signature: str) -> ServiceError:
        message = f"The signature of a {what} of the body does not match the one calculated from what was received."
        return refusal("s3", "mismatch", message, StringToSign=text, SignatureProvided=signature)
