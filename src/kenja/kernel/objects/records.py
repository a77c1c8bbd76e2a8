"""What the object store hands out and takes: frozen descriptions of buckets, objects, uploads and parts. No bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

STANDARD = "STANDARD"
ENABLED, SUSPENDED = "Enabled", "Suspended"  # the versioning of a bucket
NULL = "null"  # the id of the version that is written while versioning is not enabled


class Checksum(NamedTuple):
    """One additional checksum of an object: AWS's algorithm name, FULL_OBJECT or COMPOSITE, base64 of the value."""

    algorithm: str
    kind: str
    value: str = ""  # empty in listings and before an upload is complete


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """One bucket."""

    name: str
    account: str
    region: str
    created: float  # seconds since the epoch, virtual clock
    versioning: str = ""  # empty as long as it was never asked for, then ENABLED or SUSPENDED
    settings: Mapping[str, Any] = field(default_factory=dict)  # what every write has to know, by whoever wrote it


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a caller says of an object besides its bytes."""

    headers: Mapping[str, str] = field(default_factory=dict)  # by the names of PutObject's members: ContentType, …
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = STANDARD
    tags: Mapping[str, str] = field(default_factory=dict)
    encryption: Mapping[str, str] = field(default_factory=dict)  # by the names of PutObject's members too
    lock: Mapping[str, str] = field(default_factory=dict)  # retention and legal hold, likewise
    acl: str = ""  # a document of the S3 service; empty: private


PLAIN = Attributes()


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as it was when it was looked up."""

    bucket: str
    key: str
    blob: str
    size: int  # bytes
    etag: str  # without quotes
    modified: float  # whole seconds since the epoch, virtual clock
    attributes: Attributes = PLAIN
    checksum: Checksum | None = None
    part_sizes: tuple[int, ...] = ()  # bytes; empty when it was not uploaded in parts
    upload: str = ""  # the id of the multipart upload that made it
    part_checksums: tuple[str, ...] = ()  # base64, in the object's algorithm; empty when they are not known
    version: str = ""  # empty in a bucket that never had versions, else an id or NULL
    rank: int = 0  # the later written, the lower
    marker: bool = False  # a delete marker: a version without bytes


@dataclass(frozen=True, slots=True)
class Removal:
    """One delete of `delete_many`: of a key's object, or for ever of one of its versions."""

    key: str
    version: str | None = None
    condition: Callable[[ObjectInfo | None], None] | None = None  # as for a write


@dataclass(frozen=True, slots=True)
class Removed:
    """What a delete did."""

    existed: bool
    version: str = ""  # of the delete marker that it made, or of the version that is gone
    marker: bool = False  # whether that version is or was a delete marker


class Change(NamedTuple):
    """An object that came or went, as whoever announces it wants to know."""

    bucket: BucketInfo
    key: str
    version: str  # empty in a bucket that never had versions
    created: bool
    marker: bool = False  # whether what was written is a delete marker
    size: int = 0  # bytes
    etag: str = ""  # without quotes


Announce = Callable[[Change], None]
"""Is called inside the transaction of a change in a bucket that has settings; raises only what is a bug."""


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """A multipart upload that is not complete."""

    bucket: str
    key: str
    id: str
    initiated: float  # seconds since the epoch, virtual clock
    initiator: str  # ARN
    attributes: Attributes = PLAIN
    checksum: Checksum | None = None  # the algorithm asked for; its value is empty
    implied: bool = False  # nobody asked for that algorithm: the object will show it, the upload does not


@dataclass(frozen=True, slots=True)
class PartInfo:
    """One uploaded part."""

    number: int
    blob: str
    size: int  # bytes
    etag: str
    modified: float
    checksum: str = ""  # base64, in the upload's algorithm or, where that has none, in the part's own
    own: str = ""  # base64, in the part's own algorithm where that is another one than the upload's implied one
