"""Objects: immutable blobs in a folder or, small, in the database that indexes them. No AWS operations, no requests."""

from kenja.kernel.objects import checksums, crc, errors
from kenja.kernel.objects.blobs import Readable
from kenja.kernel.objects.listing import Page
from kenja.kernel.objects.records import (
    ENABLED,
    NULL,
    STANDARD,
    SUSPENDED,
    Attributes,
    BucketInfo,
    Change,
    Checksum,
    ObjectInfo,
    PartInfo,
    Removal,
    Removed,
    UploadInfo,
)
from kenja.kernel.objects.store import Condition, Draft, ObjectStore
from kenja.kernel.objects.uploads import SMALLEST_PART, Claim, Uploads, whole_checksum
from kenja.kernel.objects.versions import ID_LENGTH, VersionRow

__all__ = [
    "ENABLED",
    "ID_LENGTH",
    "NULL",
    "SMALLEST_PART",
    "STANDARD",
    "SUSPENDED",
    "Attributes",
    "BucketInfo",
    "Change",
    "Checksum",
    "Claim",
    "Condition",
    "Draft",
    "ObjectInfo",
    "ObjectStore",
    "Page",
    "PartInfo",
    "Readable",
    "Removal",
    "Removed",
    "UploadInfo",
    "Uploads",
    "VersionRow",
    "checksums",
    "crc",
    "errors",
    "whole_checksum",
]
