"""Identifiers: random ones that sort by nothing, and the request ids that AWS's clients print."""

from __future__ import annotations

import secrets

_AT_ONCE = 256  # ids
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # base32, as AWS's access keys use
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))  # RFC 9562: the two high bits are 10


def request_id() -> str:
    """A request id in AWS's form, a random UUID; spelt here because every request needs one and uuid.UUID takes 10 µs."""
    return _spelt(secrets.token_hex(16))


class RequestIds:
    """Request ids for one thread that needs many: the system is asked for random bytes once for 256 of them."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def next(self) -> str:
        """Like `request_id`."""
        if not self._texts:
            digits = secrets.token_hex(16 * _AT_ONCE)
            self._texts = [_spelt(digits[start : start + 32]) for start in range(0, len(digits), 32)]
        return self._texts.pop()


def unique_id(prefix: str, length: int = 21) -> str:
    """An AWS-style unique id such as `AKIA…` or `AROA…`: prefix plus base32 characters, `length` in all."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length - len(prefix)))


def _spelt(text: str) -> str:
    """32 random digits as a UUID of version 4."""
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


def token(length: int = 16) -> str:
    """A random lower-case hexadecimal name of `length` characters, for blobs, jobs and folders."""
    return secrets.token_hex((length + 1) // 2)[:length]
