"""Cyclic redundancy checks that the standard library lacks, and joining those of pieces. Tables are made on first use.

`awscrt` (AWS's own library, an extra) is used where it is installed: it runs at memory speed. The tables here take about 0.1 s
per megabyte; correct, but slow for large objects.
Polynomials: CRC-32 (ISO-HDLC), CRC-32C (iSCSI, RFC 3720), CRC-64/NVME (NVM Express), all reflected.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec

Crc = Callable[[bytes, int], int]  # (data, value so far) -> value

POLYNOMIALS = {  # algorithm -> (width in bits, reflected polynomial)
    "CRC32": (32, 0xEDB88320),
    "CRC32C": (32, 0x82F63B78),
    "CRC64NVME": (64, 0x9A6C9329AC4BC9B5),
}


@cache
def function(algorithm: str) -> Crc:
    """The fastest implementation at hand."""
    if algorithm == "CRC32":
        return zlib.crc32
    if find_spec("awscrt") is not None:
        native: Crc = getattr(import_module("awscrt.checksums"), algorithm.lower())
        return native
    return tabled(algorithm)


def is_fast(algorithm: str) -> bool:
    """Whether the implementation at hand runs at memory speed."""
    return algorithm == "CRC32" or find_spec("awscrt") is not None


@cache
def tabled(algorithm: str) -> Crc:
    """The implementation that needs no library."""
    width, polynomial = POLYNOMIALS[algorithm]
    table = [_byte(value, polynomial) for value in range(256)]
    ones = (1 << width) - 1

    def crc(data: bytes, value: int = 0) -> int:
        value ^= ones
        for byte in data:
            value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
        return value ^ ones

    return crc


def combine(algorithm: str, first: int, second: int, second_size: int) -> int:
    """The value of two pieces put together, from their values: zlib's crc32_combine, for any of the polynomials.

    Appending a zero bit is a linear map over GF(2); it is applied 8 * second_size times by squaring.
    """
    width, polynomial = POLYNOMIALS[algorithm]
    one_bit = [polynomial, *(1 << bit for bit in range(width - 1))]
    power = _square(_square(_square(one_bit)))  # one byte
    while second_size:
        if second_size & 1:
            first = _apply(power, first)
        second_size >>= 1
        power = _square(power) if second_size else power
    return first ^ second


def _byte(value: int, polynomial: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (polynomial if value & 1 else 0)
    return value


def _apply(matrix: list[int], vector: int) -> int:
    result = 0
    for row in matrix:
        if vector & 1:
            result ^= row
        vector >>= 1
    return result


def _square(matrix: list[int]) -> list[int]:
    return [_apply(matrix, row) for row in matrix]
