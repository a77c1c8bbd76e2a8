"""Amazon S3: buckets, objects, listings, copies and multipart uploads. What is not declared here answers level 0."""

from __future__ import annotations

from kenja.services.s3 import buckets, copies, listings, multipart, objects
from kenja.services.s3.service import service

__all__ = ["buckets", "copies", "listings", "multipart", "objects", "service"]
