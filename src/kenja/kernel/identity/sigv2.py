"""Signature Version 2 in the query string, S3 only: what boto3 presigns by default against an endpoint of one's own.

Amazon S3 Developer Guide, "Signing and authenticating REST requests", query string authentication. The Authorization
header of this version is not accepted, as in every AWS region since 2014.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from operator import itemgetter
from urllib.parse import unquote

from kenja.core.config import DEFAULT_REGION
from kenja.kernel.identity import canonical, sigv4
from kenja.kernel.identity.keyring import KeyRing
from kenja.kernel.identity.proof import UNSIGNED, Authenticated, Incoming
from kenja.kernel.identity.refusals import refusal

# query parameters that are part of the signed resource, the response-* overrides among them
_RESOURCES = frozenset((
    "accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle",
    "location", "logging", "metrics", "notification", "object-lock", "partNumber", "policy", "replication",
    "requestPayment", "restore", "select", "select-type", "storageClass", "tagging", "torrent", "uploadId",
    "uploads", "versionId", "versioning", "versions", "website", "response-cache-control",
    "response-content-disposition", "response-content-encoding", "response-content-language",
    "response-content-type", "response-expires",
))  # fmt: skip


def presigned(request: Incoming, ring: KeyRing, now: float, bucket: str = "") -> Authenticated:
    """Authenticate a request whose query has AWSAccessKeyId, Signature and Expires. Raises ServiceError.

    `bucket` is the one that the host names, when it does. SigV2 knows no region: it is the default one.
    """
    pairs = canonical.pairs(request.query)
    parameters = _parameters(pairs)
    expires = parameters.get("Expires", "")
    if not expires or not parameters.get("Signature"):
        message = "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters."
        raise refusal("s3", "missing", message)
    if not expires.isascii() or not expires.isdigit():
        raise refusal("s3", "missing", f"Invalid date (should be seconds since epoch): {expires[:40]}")
    if now > int(expires[:12]):
        raise sigv4.expired("Request has expired.", int(expires[:12]), now)
    amazon = _amazon(request.headers, parameters)
    access_key = parameters["AWSAccessKeyId"]
    held = sigv4.held(ring, access_key, amazon.get("x-amz-security-token", ""), "s3", now)
    signature = parameters["Signature"]
    paths = _paths(request.path, bucket)
    text = _text(request, expires, amazon, paths[0])
    if not any(_signs(held.secret, _text(request, expires, amazon, path), signature) for path in paths):
        message = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        fields = {"AWSAccessKeyId": access_key, "StringToSign": text, "SignatureProvided": signature}
        raise refusal("s3", "mismatch", message, **fields)
    return Authenticated(held.principal, DEFAULT_REGION, "s3", "s3", UNSIGNED)


def _paths(path: str, bucket: str) -> list[str]:
    """What a client may have signed as the path; for a bucket alone with or without a slash at its end (botocore: with)."""
    if bucket:
        return [f"/{bucket}{path}"]
    return [path, f"{path}/"] if path.count("/") == 1 and path != "/" else [path]


def _signs(secret: str, text: str, signature: str) -> bool:
    wanted = base64.b64encode(hmac.digest(secret.encode(), canonical.octets(text), "sha1"))
    return hmac.compare_digest(wanted, signature.encode("utf-8", "replace"))


def _text(request: Incoming, expires: str, amazon: Mapping[str, str], path: str) -> str:
    headers = request.headers
    lines = [request.method, headers.get("content-md5", "").strip(), headers.get("content-type", "").strip(), expires]
    lines += [f"{name}:{value}" for name, value in sorted(amazon.items())]
    pieces = [piece.partition("=") for piece in request.query.split("&")]
    resources = sorted((piece for piece in pieces if piece[0] in _RESOURCES), key=itemgetter(0))
    query = "&".join(f"{name}{equals}{_octets(value)}" for name, equals, value in resources)
    return "\n".join([*lines, path + (f"?{query}" if query else "")])


def _octets(value: str) -> str:
    """A parameter as the bytes that were signed, each as one character: what `canonical.octets` takes them for."""
    return unquote(value, encoding="latin-1")


def _parameters(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The parameters of the signature and those that stand for headers."""
    found: dict[str, str] = {}
    for name, value in pairs:
        plain = unquote(name)
        if plain in ("AWSAccessKeyId", "Signature", "Expires") or plain.lower().startswith("x-amz-"):
            if plain in found:
                raise refusal("s3", "malformed_query", f"The query string has {plain} more than once.")
            found[plain] = _octets(value)
    return found


def _amazon(headers: Mapping[str, str], parameters: Mapping[str, str]) -> dict[str, str]:
    """The `x-amz-` headers of a request; a presigned URL carries its own as parameters."""
    found = {name.lower(): value for name, value in parameters.items() if name.lower().startswith("x-amz-")}
    found.update((name, value) for name, value in headers.items() if name.startswith("x-amz-"))
    return {name: value.strip() for name, value in found.items()}
