"""Checksums against published check values and against the standard library."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kenja.kernel.objects import checksums, crc

CHECK = b"123456789"
VALUES = {  # of CHECK; catalogue of parametrised CRC algorithms: CRC-32/ISO-HDLC, CRC-32/ISCSI, CRC-64/NVME
    "CRC32": 0xCBF43926,
    "CRC32C": 0xE3069283,
    "CRC64NVME": 0xAE8B14860A799888,
}


@pytest.mark.parametrize("algorithm", VALUES)
def test_crcs_have_their_check_values(algorithm: str) -> None:
    assert crc.tabled(algorithm)(CHECK, 0) == VALUES[algorithm]
    assert crc.function(algorithm)(CHECK, 0) == VALUES[algorithm]
    assert crc.tabled(algorithm)(CHECK[4:], crc.tabled(algorithm)(CHECK[:4], 0)) == VALUES[algorithm]


@given(st.binary(max_size=300), st.binary(max_size=300), st.sampled_from(sorted(VALUES)))
def test_the_crc_of_two_pieces_is_found_from_theirs(first: bytes, second: bytes, algorithm: str) -> None:
    function = crc.tabled(algorithm)
    assert crc.combine(algorithm, function(first, 0), function(second, 0), len(second)) == function(first + second, 0)


def test_several_digests_are_taken_in_one_pass() -> None:
    hasher = checksums.Hasher(["MD5", "SHA256", "CRC32"])
    hasher.update(b"12345")
    hasher.update(b"6789")
    assert hasher.digests() == {
        "MD5": hashlib.md5(CHECK).digest(),
        "SHA256": hashlib.sha256(CHECK).digest(),
        "CRC32": zlib.crc32(CHECK).to_bytes(4, "big"),
    }


def test_a_composite_checksum_is_that_of_the_checksums() -> None:
    values = [base64.b64encode(hashlib.sha256(piece).digest()).decode() for piece in (b"a", b"b")]
    whole = hashlib.sha256(hashlib.sha256(b"a").digest() + hashlib.sha256(b"b").digest()).digest()
    assert checksums.composite("SHA256", values) == base64.b64encode(whole).decode() + "-2"
