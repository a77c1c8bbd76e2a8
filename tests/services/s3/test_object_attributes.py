"""GetObjectAttributes: the members that are asked for, parts and checksums included."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Any

ALL = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
PIECES = (b"a" * (5 * 1024 * 1024), b"b" * (5 * 1024 * 1024 + 1), b"end")


def upload(s3: Any, bucket: str, **how: Any) -> dict[str, Any]:
    place = {"Bucket": bucket, "Key": "a"}
    made = s3.create_multipart_upload(**place, **how)["UploadId"]
    parts = []
    for number, piece in enumerate(PIECES, 1):
        answer = s3.upload_part(**place, UploadId=made, PartNumber=number, Body=piece, **_same(how))
        checksum = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        parts.append({"PartNumber": number, "ETag": answer["ETag"], **checksum})
    done: dict[str, Any] = s3.complete_multipart_upload(**place, UploadId=made, MultipartUpload={"Parts": parts})
    return done


def _same(how: dict[str, Any]) -> dict[str, Any]:
    return {"ChecksumAlgorithm": how["ChecksumAlgorithm"]} if "ChecksumAlgorithm" in how else {}


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def test_get_object_attributes_of_a_plain_object(s3: Any, bucket: str, refused: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"hello", StorageClass="STANDARD_IA", ChecksumAlgorithm="SHA256")
    answer = s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=ALL)
    assert answer["ETag"] == hashlib.md5(b"hello").hexdigest()
    assert answer["Checksum"] == {
        "ChecksumSHA256": text(hashlib.sha256(b"hello").digest()),
        "ChecksumType": "FULL_OBJECT",
    }
    assert (answer["ObjectSize"], answer["StorageClass"]) == (5, "STANDARD_IA")
    assert "ObjectParts" not in answer
    assert "VersionId" not in answer
    some = s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=["ObjectSize"])
    assert (some["ObjectSize"], "ETag" in some, "Checksum" in some) == (5, False, False)
    for bad in (["Colour"], [""]):
        with refused("InvalidArgument", 400):
            s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=bad)
    with refused("NoSuchKey", 404):
        s3.get_object_attributes(Bucket=bucket, Key="b", ObjectAttributes=ALL)


def test_get_object_attributes_pages_through_parts_with_checksums(s3: Any, bucket: str, refused: Any) -> None:
    done = upload(s3, bucket, ChecksumAlgorithm="SHA256")
    digests = [hashlib.sha256(piece).digest() for piece in PIECES]
    whole = f"{text(hashlib.sha256(b''.join(digests)).digest())}-3"
    assert (done["ChecksumSHA256"], done["ChecksumType"]) == (whole, "COMPOSITE")
    answer = s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=ALL)
    assert answer["Checksum"] == {"ChecksumSHA256": whole, "ChecksumType": "COMPOSITE"}
    assert answer["ObjectParts"]["TotalPartsCount"] == 3
    assert answer["ObjectParts"]["Parts"] == [
        {"PartNumber": number, "Size": len(piece), "ChecksumSHA256": text(digest)}
        for number, (piece, digest) in enumerate(zip(PIECES, digests, strict=True), 1)
    ]
    page = s3.get_object_attributes(
        Bucket=bucket, Key="a", ObjectAttributes=["ObjectParts"], MaxParts=1, PartNumberMarker=1
    )["ObjectParts"]
    assert [part["PartNumber"] for part in page["Parts"]] == [2]
    assert (page["IsTruncated"], page["NextPartNumberMarker"], page["PartNumberMarker"], page["MaxParts"]) == (True, 2, 1, 1)  # fmt: skip
    for bad in ({"MaxParts": -1}, {"PartNumberMarker": -1}):
        with refused("InvalidArgument", 400):
            s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=["ObjectParts"], **bad)


def test_get_object_attributes_of_a_whole_objects_checksum(s3: Any, bucket: str) -> None:
    upload(s3, bucket, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    whole = text(zlib.crc32(b"".join(PIECES)).to_bytes(4, "big"))
    answer = s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=ALL)
    assert answer["Checksum"] == {"ChecksumCRC32": whole, "ChecksumType": "FULL_OBJECT"}
    assert answer["ObjectParts"]["Parts"][2]["ChecksumCRC32"] == text(zlib.crc32(b"end").to_bytes(4, "big"))


def test_an_upload_without_a_checksum_gets_the_one_that_s3_computes(another: Any, bucket: str) -> None:
    s3 = another(request_checksum_calculation="when_required")
    done = upload(s3, bucket)
    assert done["ChecksumType"] == "FULL_OBJECT"
    answer = s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=ALL)
    assert answer["Checksum"] == {"ChecksumCRC64NVME": done["ChecksumCRC64NVME"], "ChecksumType": "FULL_OBJECT"}
    assert answer["ObjectParts"] == {"TotalPartsCount": 3}
    put = s3.put_object(Bucket=bucket, Key="b", Body=b"".join(PIECES))
    assert put["ChecksumCRC64NVME"] == done["ChecksumCRC64NVME"]  # joined from parts, and computed in one go


def test_get_object_attributes_of_a_version_and_of_a_marker(s3: Any, bucket: str, refused: Any) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=bucket, Key="a", Body=b"1")["VersionId"]
    s3.put_object(Bucket=bucket, Key="a", Body=b"22")
    answer = s3.get_object_attributes(Bucket=bucket, Key="a", VersionId=old, ObjectAttributes=["ObjectSize"])
    assert (answer["ObjectSize"], answer["VersionId"]) == (1, old)
    marker = s3.delete_object(Bucket=bucket, Key="a")["VersionId"]
    with refused("NoSuchKey", 404) as error:
        s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=ALL)
    assert error["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    with refused("MethodNotAllowed", 405):
        s3.get_object_attributes(Bucket=bucket, Key="a", VersionId=marker, ObjectAttributes=ALL)
