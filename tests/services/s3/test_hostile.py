"""Requests that no SDK sends: answered with an S3 error, never with a server error."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HOSTILE = [
    ("GET", "/{bucket}%00x"),
    ("GET", "/{bucket}%00x/a"),
    ("GET", "/?prefix=%00"),
    ("GET", "/?bucket-region=%00"),
    ("GET", "/?continuation-token=AAAA"),
    ("GET", "/?max-buckets=99999999999999999999"),
    ("GET", "/{bucket}/a?uploadId=%00"),
    ("GET", "/{bucket}/a?uploadId=none&part-number-marker=99999999999999999999"),
    ("PUT", "/{bucket}/a?uploadId=none&partNumber=99999999999999999999"),
    ("PUT", "/{bucket}/a?uploadId=none&partNumber=one"),
    ("GET", "/{bucket}?uploads&key-marker=a&upload-id-marker=%00"),
    ("GET", "/{bucket}?list-type=2&max-keys=99999999999999999999"),
    ("GET", "/{bucket}?list-type=2&max-keys=many"),
    ("GET", "/{bucket}?list-type=2&prefix=%FF"),
    ("GET", "/{bucket}?list-type=2&delimiter=%00&prefix=%00&start-after=%00"),
    ("GET", "/{bucket}/%FF%FE"),
    ("GET", "/{bucket}/a?partNumber=99999999999999999999"),
    ("POST", "/{bucket}?delete"),
    ("POST", "/{bucket}/a?uploadId=none"),
    ("PUT", "/{bucket}?acl"),
    *(
        ("PUT", "/{bucket}?" + name)
        for name in (
            "cors",
            "tagging",
            "policy",
            "lifecycle",
            "encryption",
            "publicAccessBlock",
            "ownershipControls",
            "object-lock",
            "logging",
            "website",
            "accelerate",
            "requestPayment",
            "notification",
            "versioning",
            "analytics",
            "metrics&id=a",
            "inventory&id=%00",
            "intelligent-tiering&id=a",
            "replication",
        )
    ),
    ("GET", "/{bucket}?analytics&continuation-token=%FF"),
    ("GET", "/{bucket}?metrics&id=%00"),
    ("POST", "/{bucket}"),
    ("OPTIONS", "/{bucket}%00"),
    ("OPTIONS", "/%FF/a"),
    ("PATCH", "/{bucket}/a"),
]


@pytest.mark.parametrize(("method", "path"), HOSTILE)
def test_hostile_addresses_are_never_a_server_error(server: Any, bucket: str, method: str, path: str) -> None:
    url = server.endpoint + path.format(bucket=bucket)
    signed = AWSRequest(method, url, data=b"<broken", headers={"Content-Type": "application/xml"})
    S3SigV4Auth(Credentials(server.keys.access_key, server.keys.secret_key), "s3", "us-east-1").add_auth(signed)
    with urllib3.PoolManager() as pool:
        answer = pool.request(method, url, body=b"<broken", headers=dict(signed.headers), retries=False)
    text = answer.data.decode()
    assert answer.status < 500 or "UnsupportedOperationException" in text, text
    assert answer.status == 200 or "<Code>" in text
    assert "SignatureDoesNotMatch" not in text
