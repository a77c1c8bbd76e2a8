"""What the object store hands out and takes: frozen descriptions of buckets, objects, uploads and parts. No bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

STANDARD = "STANDARD"


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


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a caller says of an object besides its bytes."""

    headers: Mapping[str, str] = field(default_factory=dict)  # by the names of PutObject's members: ContentType, …
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = STANDARD


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


@dataclass(frozen=True, slots=True)
class PartInfo:
    """One uploaded part."""

    number: int
    blob: str
    size: int  # bytes
    etag: str
    modified: float
    checksum: str = ""  # base64, in the upload's algorithm or, where that has none, in the part's own
