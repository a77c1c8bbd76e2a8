"""Members of S3 requests that would protect data in ways Kenja does not have yet: refused, never ignored. Data, mostly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

_ACCEPTED: Mapping[str, frozenset[Any]] = {  # member -> values that ask for nothing beyond what is so anyway
    "BucketNamespace": frozenset({"global"}),
    "ObjectLockEventHold": frozenset({"OFF"}),
}
_REASONS = {  # first word of a member's name -> why it is refused and what to do
    "ObjectLockEventHold": "Holds until an event are not served; leave them out, or use a legal hold.",
    "MFA": "MFA delete is not served.",
    "WriteOffset": "Appending is for directory buckets, which are not served.",
    "BucketNamespace": "Account-regional bucket names are not served; use the global namespace.",
}


def refused(request: Mapping[str, Any]) -> str | None:
    """Why a request can not be honoured as it stands, or None."""
    for member, value in request.items():
        if value in (None, "") or value in _ACCEPTED.get(member, ()):
            continue
        for start, sentence in _REASONS.items():
            if member.startswith(start):
                return f"{member}: {sentence}"
    return None


def canonical_id(account: str) -> str:
    """The 64 hexadecimal digits that S3 calls an account's canonical user id."""
    return hashlib.sha256(f"kenja canonical user {account}".encode()).hexdigest()
