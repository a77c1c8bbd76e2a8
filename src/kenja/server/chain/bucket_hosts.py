"""Buckets in the host names of this machine: `bucket.s3.localhost`, `bucket.localhost`. AWS's own names are in `hosts`.

Amazon S3 User Guide, "Virtual hosting of buckets". A bucket's name may have dots, so the endpoint is cut off the end.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LOCAL = re.compile(r"(?P<bucket>.+?)\.(?:s3\.(?:[a-z0-9-]+\.)?)?localhost\.?(?::\d+)?", re.IGNORECASE)
_ENDPOINT = re.compile(r"s3(?:\..*)?", re.IGNORECASE)  # `s3.localhost` is an endpoint, as is `s3.us-east-1.localhost`


@lru_cache(maxsize=4096)
def bucket(host: str) -> str:
    """The bucket that a Host header names, in lower case; "" when it is an endpoint, an address or something else."""
    match = _LOCAL.fullmatch(host)
    return "" if match is None or _ENDPOINT.fullmatch(match["bucket"]) else match["bucket"].lower()
