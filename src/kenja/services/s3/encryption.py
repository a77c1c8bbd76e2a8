"""Encryption headers of objects: checked, kept and shown again. No encryption: bytes lie on the disk as they came.

What a request asks for is recorded with the object, so that clients find again what they sent, and an object that was
sent with a customer's key is given out only to who has that key. README says that nothing is encrypted yet.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import orjson

from kenja.kernel.context import Context
from kenja.kernel.objects import BucketInfo, ObjectInfo

AES256 = "AES256"
KMS = frozenset({"aws:kms", "aws:kms:dsse"})
KEY_SIZE = 32  # bytes of a customer's key; Amazon S3 User Guide, SSE-C
SETTING = "encryption"  # of a bucket: its ServerSideEncryptionConfiguration
_SHOWN = (
    "ServerSideEncryption", "SSECustomerAlgorithm", "SSECustomerKeyMD5", "SSEKMSKeyId", "SSEKMSEncryptionContext",
    "BucketKeyEnabled",
)  # fmt: skip
_READ = frozenset(_SHOWN) - {"SSEKMSEncryptionContext"}  # what GetObject and HeadObject show
_MUST = "Requests specifying Server Side Encryption with Customer provided keys must provide"


def requested(context: Context, request: Mapping[str, Any], bucket: BucketInfo) -> dict[str, str]:
    """What is recorded of a new object's encryption: what the request says, else what the bucket does by default."""
    customer = _customer(context, request)
    method = request.get("ServerSideEncryption")
    if customer:
        if method:
            raise _refused(
                context, "Server Side Encryption with Customer provided key is incompatible with the encryption method "
                "specified", "x-amz-server-side-encryption", method,
            )  # fmt: skip
        return customer
    given = {name: str(request[name]) for name in ("SSEKMSKeyId", "SSEKMSEncryptionContext") if request.get(name)}
    if "BucketKeyEnabled" in request:
        given["BucketKeyEnabled"] = "true" if request["BucketKeyEnabled"] else "false"
    if not method:
        if given.keys() & {"SSEKMSKeyId", "SSEKMSEncryptionContext"}:
            raise _kms_alone(context)
        return _default(bucket, given)
    if method in KMS:
        _check_context(context, given.get("SSEKMSEncryptionContext"))
        return {"ServerSideEncryption": method, **given}
    if method != AES256:
        message = "The encryption method specified is not supported"
        raise _refused(context, message, "x-amz-server-side-encryption", method)
    if "SSEKMSKeyId" in given:
        raise _kms_alone(context)
    return {"ServerSideEncryption": AES256}


def check_read(context: Context, request: Mapping[str, Any], info: ObjectInfo, *, prefix: str = "") -> None:
    """Let only who has the customer's key read what was sent with one. `prefix` is CopySource for a copy's source."""
    check_key(context, request, info.attributes.encryption, prefix=prefix)


def check_key(
    context: Context, request: Mapping[str, Any], recorded: Mapping[str, str], *, prefix: str = "", part: bool = False
) -> None:
    """Compare the customer's key of a request with the recorded one; `part`: of an upload that began with it."""
    given = _customer(context, request, prefix)
    wanted = recorded.get("SSECustomerKeyMD5")
    if wanted is None and given:
        raise context.error("bad_request", "The encryption parameters are not applicable to this object.")
    if wanted is not None and not given:
        raise context.error(
            "bad_request",
            "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate "
            "encryption parameters."
            if part
            else "The object was stored using a form of Server Side Encryption. The correct parameters must be provided "
            "to retrieve the object.",
        )
    if wanted is not None and not hmac.compare_digest(given["SSECustomerKeyMD5"], wanted):
        if part:
            raise context.error(
                "bad_request",
                "The provided encryption parameters did not match the ones used originally to initiate the upload.",
            )
        raise context.error("denied", "Access Denied")


def shown(recorded: Mapping[str, str], *, read: bool = False) -> dict[str, Any]:
    """The members of an answer that tell of the encryption; `read`: of GetObject and HeadObject."""
    answer: dict[str, Any] = {name: text for name, text in recorded.items() if name in (_READ if read else _SHOWN)}
    if "BucketKeyEnabled" in answer:
        answer["BucketKeyEnabled"] = answer["BucketKeyEnabled"] == "true"
    return answer


def _default(bucket: BucketInfo, given: Mapping[str, str]) -> dict[str, str]:
    """What PutBucketEncryption set; a bucket that was never asked to encrypt claims nothing of its objects."""
    for rule in bucket.settings.get(SETTING, {}).get("Rules", ()):
        applied = rule.get("ApplyServerSideEncryptionByDefault") or {}
        method = applied.get("SSEAlgorithm")
        if method in KMS:
            key = {"SSEKMSKeyId": applied["KMSMasterKeyID"]} if applied.get("KMSMasterKeyID") else {}
            bucket_key = {"BucketKeyEnabled": "true"} if rule.get("BucketKeyEnabled") else {}
            return {"ServerSideEncryption": method, **key, **bucket_key, **given}
        if method:
            return {"ServerSideEncryption": method}
    return {}


def _customer(context: Context, request: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The algorithm and the key's MD5 of a customer's key, checked against each other; empty without one."""
    algorithm, key, md5 = (
        request.get(f"{prefix}SSECustomer{name}") for name in ("Algorithm", "Key", "KeyMD5")
    )  # fmt: skip
    if algorithm is None and key is None and md5 is None:
        return {}
    header = "x-amz-server-side-encryption-customer-algorithm"
    if not algorithm:
        raise _refused(context, f"{_MUST} a valid encryption algorithm.", header, "null")
    if algorithm != AES256:
        raise context.error(
            "algorithm", f"The encryption request you specified is not valid. The valid value is {AES256}.",
            ArgumentName=header, ArgumentValue=algorithm,
        )  # fmt: skip
    if not key:
        raise _refused(context, f"{_MUST} an appropriate secret key.", "x-amz-server-side-encryption", "null")
    if not md5:
        raise _refused(
            context, f"{_MUST} the client calculated MD5 of the secret key.", "x-amz-server-side-encryption", "null"
        )
    raw, claimed = _decoded(key), _decoded(md5)
    if len(raw) != KEY_SIZE:
        raise _refused(
            context, "The secret key was invalid for the specified algorithm.", "x-amz-server-side-encryption", "null"
        )
    if hashlib.md5(raw, usedforsecurity=False).digest() != claimed:
        raise _refused(
            context, "The calculated MD5 hash of the key did not match the hash that was provided.",
            "x-amz-server-side-encryption", "null",
        )  # fmt: skip
    return {"SSECustomerAlgorithm": algorithm, "SSECustomerKeyMD5": md5}


def _check_context(context: Context, text: str | None) -> None:
    if text is None:
        return
    try:
        document = orjson.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        document = None
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise _refused(
            context, "The encryption context must be a base64-encoded JSON object of strings.",
            "x-amz-server-side-encryption-context", text,
        )  # fmt: skip


def _kms_alone(context: Context) -> Exception:
    return _refused(
        context,
        "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
        "x-amz-server-side-encryption", "null",
    )  # fmt: skip


def _refused(context: Context, message: str, name: str, value: str) -> Exception:
    return context.error("validation", message, ArgumentName=name, ArgumentValue=value)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
