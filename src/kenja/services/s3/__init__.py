"""Amazon S3: buckets and their configurations, objects, versions, copies and uploads. What is not declared is level 0."""

from __future__ import annotations

from kenja.services.s3 import (
    acl_operations,
    buckets,
    copies,
    listings,
    locks,
    multipart,
    notifications,
    object_attributes,
    objects,
    subresources,
    tagging,
    version_listings,
    versioning,
)
from kenja.services.s3.service import service

__all__ = [
    "acl_operations",
    "buckets",
    "copies",
    "listings",
    "locks",
    "multipart",
    "notifications",
    "object_attributes",
    "objects",
    "service",
    "subresources",
    "tagging",
    "version_listings",
    "versioning",
]
