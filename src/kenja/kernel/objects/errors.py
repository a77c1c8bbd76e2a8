"""What the object store refuses, each with the facts that an answer needs. No AWS codes here: the S3 service has them."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - subclasses read as what happened
    """Any of the below; the message is a sentence for the caller."""


class NoSuchBucket(Refusal):
    """There is no bucket of this name."""

    def __init__(self, bucket: str) -> None:
        super().__init__("The specified bucket does not exist")
        self.bucket = bucket


class ForeignBucket(Refusal):
    """The bucket belongs to another account."""

    def __init__(self, bucket: str) -> None:
        super().__init__("Access Denied")
        self.bucket = bucket


class BucketExists(Refusal):
    """The name is taken; `mine` says whether by the caller's account."""

    def __init__(self, bucket: str, *, mine: bool) -> None:
        super().__init__(f"The bucket {bucket} exists already.")
        self.bucket = bucket
        self.mine = mine


class BucketNotEmpty(Refusal):
    """A bucket with objects can not be deleted."""

    def __init__(self, bucket: str) -> None:
        super().__init__("The bucket you tried to delete is not empty")
        self.bucket = bucket


class TooManyDocuments(Refusal):
    """A bucket has as many configurations of a kind as it may have."""

    def __init__(self, bucket: str, kind: str, most: int) -> None:
        super().__init__(f"A bucket can have at most {most} configurations of this kind; delete one first.")
        self.bucket, self.kind, self.most = bucket, kind, most


class TooManyBuckets(Refusal):
    """An account has as many buckets as it may have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"You have attempted to create more buckets than allowed: {most}.")
        self.most = most


class NoSuchKey(Refusal):
    """The bucket has no such object."""

    def __init__(self, key: str) -> None:
        super().__init__("The specified key does not exist.")
        self.key = key


class NoSuchVersion(Refusal):
    """The key has no version of this id."""

    def __init__(self, key: str, version: str) -> None:
        super().__init__("The specified version does not exist.")
        self.key, self.version = key, version


class IsDeleteMarker(Refusal):
    """What was asked for is a delete marker; `latest`: as the newest version of its key, not by its id."""

    def __init__(self, key: str, version: str, modified: float, *, latest: bool) -> None:
        super().__init__(
            "The specified key does not exist."
            if latest
            else "The specified method is not allowed against this resource."
        )
        self.key, self.version, self.modified, self.latest = key, version, modified, latest


class Locked(Refusal):
    """A version must stay as it is for now."""

    def __init__(self) -> None:
        super().__init__("Access Denied because object protected by object lock.")


class NoSuchUpload(Refusal):
    """The upload id is unknown for this key, or the upload was completed or aborted."""

    def __init__(self, upload: str) -> None:
        super().__init__(
            "The specified multipart upload does not exist. "
            "The upload ID might be invalid, or the multipart upload might have been aborted or completed."
        )
        self.upload = upload


class InvalidPart(Refusal):
    """A part of the list was never uploaded, or with another entity tag or checksum."""

    def __init__(self, upload: str, number: int, etag: str) -> None:
        super().__init__(
            f"Part {number} could not be found. It may not have been uploaded, "
            "or its entity tag or checksum does not match what was uploaded."
        )
        self.upload, self.number, self.etag = upload, number, etag


class PartTooSmall(Refusal):
    """A part that is not the last one is smaller than allowed."""

    def __init__(self, number: int, etag: str, size: int, minimum: int) -> None:
        super().__init__("Your proposed upload is smaller than the minimum allowed size")
        self.number, self.etag, self.size, self.minimum = number, etag, size, minimum


class PreconditionFailed(Refusal):
    """The object is not as the caller's condition says; `condition` is the header's name."""

    def __init__(self, condition: str) -> None:
        super().__init__("At least one of the pre-conditions you specified did not hold")
        self.condition = condition
