"""Digests of streams by AWS's algorithm names, and what becomes of them when parts are put together. No requests here."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from kenja.kernel.objects import crc

ALGORITHMS = frozenset({"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "SHA512", "MD5"})
FULL_OBJECT, COMPOSITE = "FULL_OBJECT", "COMPOSITE"
JOINABLE = frozenset(crc.POLYNOMIALS)  # algorithms whose parts' values give the whole's


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, algorithm: str) -> None:
        self._function = crc.function(algorithm)
        self._bytes = crc.POLYNOMIALS[algorithm][0] // 8
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._bytes, "big")


class Hasher:
    """Several digests of one stream in one pass. Not thread safe."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        """`algorithms` are of ALGORITHMS."""
        self._digests: dict[str, _Digest] = {name: _new(name) for name in algorithms}

    @property
    def wanted(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self._digests)

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        for digest in self._digests.values():
            digest.update(data)

    def digests(self) -> dict[str, bytes]:
        """The raw digests of all bytes so far, by algorithm."""
        return {name: digest.digest() for name, digest in self._digests.items()}


def whole_etag(etags: Sequence[str]) -> str:
    """The entity tag of an object of parts: the MD5 of their MD5s, and their number."""
    joined = b"".join(bytes.fromhex(etag) for etag in etags)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(etags)}"


def composite(algorithm: str, values: Sequence[str]) -> str:
    """The checksum of the parts' checksums (base64), and their number; AWS's COMPOSITE type."""
    joined = b"".join(base64.b64decode(value) for value in values)
    hasher = Hasher([algorithm])
    hasher.update(joined)
    return f"{base64.b64encode(hasher.digests()[algorithm]).decode()}-{len(values)}"


def joined(algorithm: str, parts: Sequence[tuple[str, int]]) -> str:
    """The checksum (base64) of the whole from those of its parts: (base64, bytes) each. Only for JOINABLE ones."""
    width = crc.POLYNOMIALS[algorithm][0] // 8
    value = 0
    for text, size in parts:
        value = crc.combine(algorithm, value, int.from_bytes(base64.b64decode(text), "big"), size)
    return base64.b64encode(value.to_bytes(width, "big")).decode()


def encoded(digests: Mapping[str, bytes], algorithm: str) -> str:
    """One digest as AWS's headers write it."""
    return base64.b64encode(digests[algorithm]).decode()


def _new(name: str) -> _Digest:
    return _Crc(name) if name in crc.POLYNOMIALS else hashlib.new(name.lower(), usedforsecurity=False)
