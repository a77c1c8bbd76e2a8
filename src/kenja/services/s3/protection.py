"""Members of S3 requests that would protect data in ways Kenja does not have yet: refused, never ignored. Data, mostly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

_ACCEPTED: Mapping[str, frozenset[Any]] = {  # member -> values that ask for nothing beyond what is so anyway
    "ACL": frozenset({"private", "bucket-owner-full-control"}),
    # The SageMaker SDK asks for the service's own key unasked. No key is named, none is promised: the answer leaves the
    # header out, and README says that objects are not encrypted on the disk.
    "ServerSideEncryption": frozenset({"AES256", "aws:kms"}),
    "ObjectOwnership": frozenset({"BucketOwnerEnforced"}),
    "ObjectLockEnabledForBucket": frozenset({False}),
    "BucketKeyEnabled": frozenset({False}),
    "BucketNamespace": frozenset({"global"}),
    "ObjectLockLegalHoldStatus": frozenset({"OFF"}),
    "ObjectLockEventHold": frozenset({"OFF"}),
}
_REASONS = {  # first word of a member's name -> why it is refused and what to do
    "ACL": "Access control lists are not served; leave the ACL private.",
    "Grant": "Access control lists are not served; leave the grants out.",
    "ServerSide": "Kenja does not encrypt objects yet, so it does not promise to; leave the encryption headers out.",
    "SSE": "Kenja does not encrypt objects yet, so it does not promise to; leave the encryption headers out.",
    "CopySourceSSE": "Kenja does not encrypt objects yet; leave the encryption headers out.",
    "BucketKey": "Kenja does not encrypt objects yet, so it does not promise to; leave the encryption headers out.",
    "ObjectLock": "Object Lock is not served; a retention that is not kept would be worse than none.",
    "ObjectOwnership": "Only BucketOwnerEnforced is served; access control lists are not.",
    "MFA": "MFA delete is not served.",
    "Tagging": "Object tags are not served yet; leave the tags out.",
    "WriteOffset": "Appending is for directory buckets, which are not served.",
    "BucketNamespace": "Account-regional bucket names are not served; use the global namespace.",
}
_HARMLESS = frozenset({"TaggingDirective"})


def refused(request: Mapping[str, Any]) -> str | None:
    """Why a request can not be honoured as it stands, or None."""
    for member, value in request.items():
        if member in _HARMLESS or value in (None, "") or value in _ACCEPTED.get(member, ()):
            continue
        for start, sentence in _REASONS.items():
            if member.startswith(start):
                return f"{member}: {sentence}"
    return None


def canonical_id(account: str) -> str:
    """The 64 hexadecimal digits that S3 calls an account's canonical user id."""
    return hashlib.sha256(f"kenja canonical user {account}".encode()).hexdigest()
