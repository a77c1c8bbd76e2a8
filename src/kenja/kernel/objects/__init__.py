"""Objects: immutable blobs in a folder, an index in a database. No AWS operations and no requests are known here."""

from kenja.kernel.objects import checksums, errors
from kenja.kernel.objects.blobs import Draft, Readable
from kenja.kernel.objects.listing import Page
from kenja.kernel.objects.records import STANDARD, Attributes, BucketInfo, Checksum, ObjectInfo, PartInfo, UploadInfo
from kenja.kernel.objects.store import Condition, ObjectStore
from kenja.kernel.objects.uploads import SMALLEST_PART, Claim, Uploads, whole_checksum

__all__ = [
    "SMALLEST_PART",
    "STANDARD",
    "Attributes",
    "BucketInfo",
    "Checksum",
    "Claim",
    "Condition",
    "Draft",
    "ObjectInfo",
    "ObjectStore",
    "Page",
    "PartInfo",
    "Readable",
    "UploadInfo",
    "Uploads",
    "checksums",
    "errors",
    "whole_checksum",
]
