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


class NoSuchKey(Refusal):
    """The bucket has no such object."""

    def __init__(self, key: str) -> None:
        super().__init__("The specified key does not exist.")
        self.key = key


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
