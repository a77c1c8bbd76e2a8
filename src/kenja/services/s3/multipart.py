"""Multipart uploads: create, upload part, complete, abort, and the two listings. Copied parts are among the copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.objects import Checksum, Claim, ObjectInfo, PartInfo, UploadInfo, checksums, whole_checksum
from kenja.kernel.objects.errors import NoSuchKey, NoSuchUpload
from kenja.services.s3 import attributes, conditions, digests, encryption
from kenja.services.s3.listings import MAX_INTEGER, encoder, page_size
from kenja.services.s3.notifications import announcer
from kenja.services.s3.objects import check_length, check_size, written
from kenja.services.s3.ranges import MAX_PARTS
from kenja.services.s3.service import operation, owner

_ONLY_WHOLE = frozenset({"CRC64NVME"})  # algorithms that have no composite checksum; S3 User Guide, checksum types


@operation("CreateMultipartUpload", level=2)
def create_multipart_upload(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Begins an upload whose parts may come in any order and at the same time."""
    asked = _checksum(context, request.get("ChecksumAlgorithm"), request.get("ChecksumType"))
    default = digests.default_algorithm()
    store = context.kernel.objects
    bucket = store.bucket(context.account, request["Bucket"])
    upload = store.uploads.create(
        context.account,
        request["Bucket"],
        request["Key"],
        initiator=context.principal.arn,
        attributes=attributes.requested(context, request, bucket),
        checksum=asked or (Checksum(default, checksums.FULL_OBJECT) if default else None),
        implied=asked is None and default is not None,
    )
    answer = {"Bucket": upload.bucket, "Key": upload.key, "UploadId": upload.id}
    if asked is not None:
        answer |= {"ChecksumAlgorithm": asked.algorithm, "ChecksumType": asked.kind}
    return {**answer, **encryption.shown(upload.attributes.encryption)}


@operation("UploadPart")
def upload_part(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Stores one part; one that has this number already is replaced."""
    check_part_number(context, request["PartNumber"])
    check_length(context)
    body = request.get("Body", b"")
    expected = digests.expected(context, request, body)
    check_size(context, body)
    store = context.kernel.objects
    upload = store.uploads.find(context.account, request["Bucket"], request["Key"], request["UploadId"])
    encryption.check_key(context, request, upload.attributes.encryption, part=True)
    wanted = upload.checksum.algorithm if upload.checksum else None
    if wanted and not upload.implied and expected.algorithm not in (None, wanted):
        raise context.error(
            "bad_request",
            f"Checksum Type mismatch occurred, expected checksum Type: {wanted.lower()}, "
            f"actual checksum Type: {str(expected.algorithm).lower()}",
        )
    with store.receive_file(body, expected.algorithms | part_algorithms(upload)) as draft:
        expected.check(context, draft)
        part = store.uploads.put_part(upload, request["PartNumber"], draft, expected.algorithm)
        algorithm = expected.algorithm or wanted
        value = {f"Checksum{algorithm}": checksums.encoded(draft.digests, algorithm)} if algorithm else {}
    return {"ETag": f'"{part.etag}"', **value, **encryption.shown(upload.attributes.encryption, read=True)}


@operation("CompleteMultipartUpload")
def complete_multipart_upload(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Makes the object of the listed parts. A repetition of a successful call gives the same answer."""
    store = context.kernel.objects
    claims = _claims(context, request)
    condition = conditions.write_condition(context, request)
    try:
        upload = store.uploads.find(context.account, request["Bucket"], request["Key"], request["UploadId"])
        parts = store.uploads.chosen(upload, claims)
        value = whole_checksum(upload, parts)
        _check_whole(context, request, upload, parts, value)
        announce = announcer(context)
        info = store.uploads.complete(
            context.account, upload, claims, value=value, condition=condition, announce=announce
        )
    except NoSuchUpload:
        earlier = _completed(context, request)
        if earlier is None:
            raise
        info = earlier
    base = context.http.base_url if context.http is not None else ""
    return {
        "Bucket": info.bucket,
        "Key": info.key,
        "ETag": f'"{info.etag}"',
        "Location": f"{base}/{info.bucket}/{quote(info.key)}",
        **digests.shown(info.checksum),
        **written(info),
    }


@operation("AbortMultipartUpload")
def abort_multipart_upload(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Forgets an upload and frees its parts."""
    uploads = context.kernel.objects.uploads
    upload = uploads.find(context.account, request["Bucket"], request["Key"], request["UploadId"])
    initiated = request.get("IfMatchInitiatedTime")
    if initiated is not None and initiated.timestamp() != upload.initiated:
        raise context.error(
            "precondition", "At least one of the pre-conditions you specified did not hold",
            Condition="x-amz-if-match-initiated-time",
        )  # fmt: skip
    uploads.abort(upload)
    return {}


@operation("ListParts")
def list_parts(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The parts that an upload has so far, by number."""
    uploads = context.kernel.objects.uploads
    limit = page_size(context, request, "MaxParts", "max-parts")
    marker = request.get("PartNumberMarker", 0)
    if not 0 <= marker <= MAX_INTEGER:
        raise context.error("validation", f"part-number-marker must be from 0 to {MAX_INTEGER}, not {marker}.")
    upload = uploads.find(context.account, request["Bucket"], request["Key"], request["UploadId"])
    found = uploads.parts(upload, after=marker, limit=limit + 1) if limit else []
    shown = found[:limit]
    answer: dict[str, Any] = {
        "Bucket": upload.bucket,
        "Key": upload.key,
        "UploadId": upload.id,
        "PartNumberMarker": marker,
        "MaxParts": limit,
        "IsTruncated": len(found) > limit,
        "Parts": [_part(upload, part) for part in shown],
        "Initiator": _initiator(upload.initiator),
        "Owner": owner(_account(upload.initiator) or context.account),
        "StorageClass": upload.attributes.storage_class,
        "NextPartNumberMarker": shown[-1].number if shown else 0,
    }
    if upload.checksum is not None and not upload.implied:
        answer |= {"ChecksumAlgorithm": upload.checksum.algorithm, "ChecksumType": upload.checksum.kind}
    return answer


@operation("ListMultipartUploads")
def list_multipart_uploads(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The uploads of a bucket that are neither complete nor aborted, by key."""
    limit = page_size(context, request, "MaxUploads", "max-uploads")
    prefix, delimiter = request.get("Prefix") or "", request.get("Delimiter") or ""
    key_marker = request.get("KeyMarker") or ""
    id_marker = (request.get("UploadIdMarker") or "") if key_marker else ""  # alone it says nothing; API Reference
    page = context.kernel.objects.uploads.list(
        context.account,
        request["Bucket"],
        prefix=prefix,
        delimiter=delimiter,
        after=key_marker or None,
        after_id=id_marker,
        limit=limit,
    )
    encode = encoder(request)
    answer: dict[str, Any] = {
        "Bucket": request["Bucket"],
        "KeyMarker": encode(key_marker.encode()),
        "UploadIdMarker": id_marker,
        "Prefix": encode(prefix.encode()),
        "MaxUploads": limit,
        "IsTruncated": page.truncated,
        "Uploads": [{**_upload(context, row), "Key": encode(row.key)} for row in page.rows],
        "CommonPrefixes": [{"Prefix": encode(found)} for found in page.prefixes],
    }
    if delimiter:
        answer["Delimiter"] = encode(delimiter.encode())
    if request.get("EncodingType"):
        answer["EncodingType"] = request["EncodingType"]
    if page.truncated and page.last is not None:
        answer["NextKeyMarker"] = encode(page.last)
        if page.rows and page.rows[-1].key == page.last:
            answer["NextUploadIdMarker"] = page.rows[-1].id
    return answer


def check_part_number(context: Context, number: int) -> None:
    """Refuse a part number that no upload may have."""
    if not 1 <= number <= MAX_PARTS:
        raise context.error(
            "validation", f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive",
            ArgumentName="partNumber", ArgumentValue=number,
        )  # fmt: skip


def part_algorithms(upload: UploadInfo) -> set[str]:
    """What has to be computed for a part besides its MD5."""
    return {upload.checksum.algorithm} if upload.checksum else set()


def _checksum(context: Context, algorithm: str | None, kind: str | None) -> Checksum | None:
    """The checksum that the object will have. CRC32 and CRC32C are composite unless the request says otherwise."""
    if algorithm is None:
        if kind is not None:
            raise context.error("bad_request", "The x-amz-checksum-type header can only be used with an algorithm.")
        return None
    digests.supported(context, algorithm)
    default = checksums.FULL_OBJECT if algorithm in _ONLY_WHOLE else checksums.COMPOSITE
    chosen = kind or default
    if (chosen == checksums.FULL_OBJECT and algorithm not in checksums.JOINABLE) or (
        chosen == checksums.COMPOSITE and algorithm in _ONLY_WHOLE
    ):
        raise context.error(
            "bad_request",
            f"The {chosen} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.",
        )
    return Checksum(algorithm, chosen)


def _claims(context: Context, request: Mapping[str, Any]) -> list[Claim]:
    parts = (request.get("MultipartUpload") or {}).get("Parts") or []
    if not 1 <= len(parts) <= MAX_PARTS or any("PartNumber" not in part or not part.get("ETag") for part in parts):
        raise context.error(
            "malformed",
            f"The list of parts must have from 1 to {MAX_PARTS} entries, each with a PartNumber and an ETag.",
        )
    numbers = [part["PartNumber"] for part in parts]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise context.error(
            "part_order",
            "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
            UploadId=request["UploadId"],
        )
    return [
        Claim(part["PartNumber"], part["ETag"].strip('"'), next(iter(digests.claimed(part).values()), ""))
        for part in parts
    ]


def _check_whole(
    context: Context, request: Mapping[str, Any], upload: UploadInfo, parts: Sequence[PartInfo], value: str
) -> None:
    """Compare what the caller says of the whole object with its parts."""
    size = sum(part.size for part in parts)
    if request.get("MpuObjectSize", size) != size:
        raise context.error(
            "bad_request",
            f"The provided 'x-amz-mp-object-size' header value {request['MpuObjectSize']} does not match what was "
            f"computed: {size}",
        )
    kind = request.get("ChecksumType")
    if kind is not None and (upload.checksum is None or upload.checksum.kind != kind):
        raise context.error("bad_request", f"The upload was not created with the checksum type {kind}.")
    for algorithm, claimed in digests.claimed(request).items():
        if upload.checksum is None or upload.checksum.algorithm != algorithm:
            raise context.error("bad_request", f"The upload was not created with the checksum algorithm {algorithm}.")
        if claimed not in (value, value.partition("-")[0]):
            raise context.error("bad_digest", f"The {algorithm} you specified did not match the calculated checksum.")


def _completed(context: Context, request: Mapping[str, Any]) -> ObjectInfo | None:
    """The object that this very upload made, if it is still there."""
    try:
        info = context.kernel.objects.head(context.account, request["Bucket"], request["Key"])
    except NoSuchKey:
        return None
    return info if info.upload == request["UploadId"] else None


def _part(upload: UploadInfo, part: PartInfo) -> dict[str, Any]:
    shown = {
        "PartNumber": part.number,
        "LastModified": utc(part.modified),
        "ETag": f'"{part.etag}"',
        "Size": part.size,
    }
    if upload.checksum is not None and not upload.implied:
        shown[f"Checksum{upload.checksum.algorithm}"] = part.checksum
    return shown


def _upload(context: Context, row: Any) -> dict[str, Any]:
    shown = {
        "UploadId": row.id,
        "Initiated": utc(row.initiated),
        "StorageClass": row.storage_class,
        "Owner": owner(_account(row.initiator) or context.account),
        "Initiator": _initiator(row.initiator),
    }
    algorithm, kind, *implied = row.checksum.split(" ") if row.checksum else ("", "")
    if algorithm and not implied:
        shown |= {"ChecksumAlgorithm": algorithm, "ChecksumType": kind}
    return shown


def _initiator(arn: str) -> dict[str, str]:
    """Who began an upload: a user or role by its ARN, an account's root by its canonical id (S3 API Reference, Initiator)."""
    if arn.endswith(":root"):
        return owner(_account(arn))
    return {"ID": arn, "DisplayName": arn.rsplit("/", 1)[-1]}


def _account(arn: str) -> str:
    """The account in an ARN; empty where nobody in particular began the upload."""
    return arn.split(":")[4] if arn else ""
