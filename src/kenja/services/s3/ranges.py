"""Byte ranges: the Range header, the parts of an object and the range of a copied part. No bytes here."""

from __future__ import annotations

import re
from typing import NamedTuple

from kenja.kernel.context import Context
from kenja.kernel.objects import ObjectInfo

MAX_PARTS = 10_000  # Amazon S3 multipart upload limits
_ONE = re.compile(r"\s*bytes\s*=\s*(\d{0,1000})\s*-\s*(\d{0,1000})\s*")  # Python reads no number of over 4,300 digits
_COPY = re.compile(r"bytes=(\d{1,20})-(\d{1,20})")


class Range(NamedTuple):
    """A part of an object."""

    offset: int  # bytes
    length: int  # bytes

    def header(self, size: int) -> str:
        """The Content-Range of an answer."""
        return f"bytes {self.offset}-{self.offset + self.length - 1}/{size}"


def requested(context: Context, header: str | None, size: int) -> Range | None:
    """The range that is asked for; None for all of the object, as for several ranges or a header that makes no sense."""
    match = _ONE.fullmatch(header) if header is not None else None
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        start = size - length
    else:
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
        length = end - start + 1
    if length <= 0:
        raise context.error(
            "range", "The requested range is not satisfiable", RangeRequested=header, ActualObjectSize=size
        )
    return Range(start, length)


def part(context: Context, number: int, info: ObjectInfo) -> Range:
    """Where a part of an object lies; an object that was not uploaded in parts has one."""
    if not 1 <= number <= MAX_PARTS:
        raise context.error(
            "validation", f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive",
            ArgumentName="partNumber", ArgumentValue=number,
        )  # fmt: skip
    sizes = info.part_sizes or (info.size,)
    if number > len(sizes):
        raise context.error(
            "part_number", "The requested partnumber is not satisfiable", PartNumberRequested=number,
            ActualPartCount=len(sizes),
        )  # fmt: skip
    return Range(sum(sizes[: number - 1]), sizes[number - 1])


def copied(context: Context, header: str | None, size: int) -> Range:
    """The range of UploadPartCopy, which must lie inside the source; all of it without a header."""
    if header is None:
        return Range(0, size)
    match = _COPY.fullmatch(header)
    if match is None:
        raise context.error(
            "validation",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range", ArgumentValue=header,
        )  # fmt: skip
    first, last = int(match[1]), int(match[2])
    if first > last or last >= size:
        raise context.error(
            "range", f"Range specified is not valid for source object of size: {size}",
            RangeRequested=header, ActualObjectSize=size,
        )  # fmt: skip
    return Range(first, last - first + 1)
