"""HMAC-SHA256 (RFC 2104) with a key that signs often. What is signed is not known here."""

from __future__ import annotations

from hashlib import sha256

_BLOCK = 64  # bytes of a block of SHA-256
_INNER = bytes(number ^ 0x36 for number in range(256))
_OUTER = bytes(number ^ 0x5C for number in range(256))


class Signer:
    """Both hashes of an HMAC, each past the key: a signature costs a third of what hmac.digest does. Thread safe."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        padded = (key if len(key) <= _BLOCK else sha256(key).digest()).ljust(_BLOCK, b"\0")
        self._inner = sha256(padded.translate(_INNER))
        self._outer = sha256(padded.translate(_OUTER))

    def after(self, text: bytes) -> Signer:
        """One that signs what follows after this text."""
        made = object.__new__(Signer)
        made._inner, made._outer = self._inner.copy(), self._outer
        made._inner.update(text)
        return made

    def sign(self, text: bytes) -> str:
        """The signature in hexadecimal."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.hexdigest()
