"""Signatures of POST policies: the fields of a browser's form that say who allowed the upload. The conditions are S3's matter.

Amazon S3 API Reference, "Browser-based uploads using POST (AWS Signature Version 4)"; Amazon S3 Developer Guide,
"Browser-based uploads using POST (AWS Signature Version 2)". What is signed is the policy's base64 text itself.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping

from kenja.core.config import DEFAULT_REGION
from kenja.core.errors import ServiceError
from kenja.kernel.context import Principal
from kenja.kernel.identity import sigv4
from kenja.kernel.identity.keyring import KeyRing
from kenja.kernel.identity.proof import ALGORITHM
from kenja.kernel.identity.refusals import refusal

FIELDS_V4 = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
FIELDS_V2 = ("awsaccesskeyid", "signature")
_SPELLING = {"awsaccesskeyid": "AWSAccessKeyId", "signature": "Signature"}
_STAMP = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


def verify(fields: Mapping[str, str], ring: KeyRing, now: float) -> tuple[Principal, str]:
    """Who signed a form's policy, and for which region. `fields` have lower-case names. Raises ServiceError as S3 words it."""
    policy = fields["policy"]
    token = fields.get("x-amz-security-token", "")
    if not any(name in fields for name in FIELDS_V4):
        return _version_2(fields, policy, token, ring, now), DEFAULT_REGION
    _present(fields, FIELDS_V4)
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise _argument("X-Amz-Algorithm", fields["x-amz-algorithm"], f"X-Amz-Algorithm only supports {ALGORITHM!r}")
    claim = sigv4.credential(fields["x-amz-credential"])
    if isinstance(claim, str):
        raise _argument("X-Amz-Credential", fields["x-amz-credential"], claim)
    stamp = fields["x-amz-date"]
    if not _STAMP.fullmatch(stamp) or stamp[:8] != claim.date:
        sentence = f"X-Amz-Date must be spelt like 20250131T235959Z and have the credential's date {claim.date}"
        raise _argument("X-Amz-Date", stamp, sentence)
    if claim.service != "s3":
        sentence = f"Credential should be scoped to correct service: 's3', not {claim.service!r}"
        raise _argument("X-Amz-Credential", fields["x-amz-credential"], sentence)
    held = sigv4.held(ring, claim.access_key, token, "s3", now)
    wanted = hmac.digest(ring.signing_key(held, claim.scope), policy.encode(), "sha256").hex()
    if not hmac.compare_digest(wanted.encode(), fields["x-amz-signature"].encode()):
        raise _mismatch(claim.access_key, policy, fields["x-amz-signature"])
    return held.principal, claim.region


def _version_2(fields: Mapping[str, str], policy: str, token: str, ring: KeyRing, now: float) -> Principal:
    _present(fields, FIELDS_V2)
    access_key = fields["awsaccesskeyid"]
    held = sigv4.held(ring, access_key, token, "s3", now)
    wanted = base64.b64encode(hmac.digest(held.secret.encode(), policy.encode(), "sha1"))
    if not hmac.compare_digest(wanted, fields["signature"].encode()):
        raise _mismatch(access_key, policy, fields["signature"])
    return held.principal


def _present(fields: Mapping[str, str], names: tuple[str, ...]) -> None:
    for name in names:
        if not fields.get(name):
            spelt = _SPELLING.get(name) or "-".join(part.capitalize() for part in name.split("-"))
            sentence = f"Bucket POST must contain a field named '{spelt}'.  If it is specified, please check the order of the fields."
            raise _argument(spelt, "", sentence)


def _argument(name: str, value: str, sentence: str) -> ServiceError:
    return refusal("s3", "bad_argument", sentence, ArgumentName=name, ArgumentValue=value)


def _mismatch(access_key: str, policy: str, signature: str) -> ServiceError:
    message = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    fields = {"AWSAccessKeyId": access_key, "StringToSign": policy, "SignatureProvided": signature}
    return refusal("s3", "mismatch", message, **fields)
