"""What a refused signature is called on the wire: one row per reason, one column per dialect. No cryptography here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from kenja.core.errors import ServiceError

Dialect = Literal["s3", "query", "json", "rest-json"]
Reason = Literal[
    "missing", "malformed", "malformed_query", "unsupported", "bad_argument", "missing_header", "unsigned_header",
    "wrong_scope", "skewed", "expired_url", "unknown_key", "bad_token", "expired_token", "mismatch", "payload", "bearer",
]  # fmt: skip

_QUERY_MISMATCH = ("SignatureDoesNotMatch", 403)
_JSON_MISMATCH = ("InvalidSignatureException", 400)
_REST_MISMATCH = ("InvalidSignatureException", 403)
_QUERY_INCOMPLETE = ("IncompleteSignature", 400)
_JSON_INCOMPLETE = ("IncompleteSignatureException", 400)
_REST_INCOMPLETE = ("IncompleteSignatureException", 403)

# The codes that AWS's services answer with: S3's are in its API reference (List of error codes), those of the query
# services in "Common Errors" of IAM and STS, those of the JSON services are what botocore's clients receive.
_CODES: Mapping[Reason, tuple[tuple[str, int], tuple[str, int], tuple[str, int], tuple[str, int]]] = {
    # reason: s3, query, json, rest-json
    "missing": (
        ("AccessDenied", 403),
        ("MissingAuthenticationToken", 403),
        ("MissingAuthenticationTokenException", 400),
        ("MissingAuthenticationTokenException", 403),
    ),
    "malformed": (("AuthorizationHeaderMalformed", 400), _QUERY_INCOMPLETE, _JSON_INCOMPLETE, _REST_INCOMPLETE),
    "malformed_query": (
        ("AuthorizationQueryParametersError", 400), _QUERY_INCOMPLETE, _JSON_INCOMPLETE, _REST_INCOMPLETE,
    ),
    "unsupported": (("InvalidRequest", 400), _QUERY_INCOMPLETE, _JSON_INCOMPLETE, _REST_INCOMPLETE),
    "bad_argument": (("InvalidArgument", 400), _QUERY_INCOMPLETE, _JSON_INCOMPLETE, _REST_INCOMPLETE),
    "missing_header": (("InvalidRequest", 400), _QUERY_INCOMPLETE, _JSON_INCOMPLETE, _REST_INCOMPLETE),
    "unsigned_header": (("AccessDenied", 403), _QUERY_MISMATCH, _JSON_MISMATCH, _REST_MISMATCH),
    "wrong_scope": (("AuthorizationHeaderMalformed", 400), _QUERY_MISMATCH, _JSON_MISMATCH, _REST_MISMATCH),
    "skewed": (("RequestTimeTooSkewed", 403), _QUERY_MISMATCH, _JSON_MISMATCH, _REST_MISMATCH),
    "expired_url": (("AccessDenied", 403), _QUERY_MISMATCH, _JSON_MISMATCH, _REST_MISMATCH),
    "unknown_key": (
        ("InvalidAccessKeyId", 403),
        ("InvalidClientTokenId", 403),
        ("UnrecognizedClientException", 400),
        ("UnrecognizedClientException", 403),
    ),
    "bad_token": (
        ("InvalidToken", 400),
        ("InvalidClientTokenId", 403),
        ("UnrecognizedClientException", 400),
        ("UnrecognizedClientException", 403),
    ),
    "expired_token": (
        ("ExpiredToken", 400),
        ("ExpiredToken", 403),
        ("ExpiredTokenException", 400),
        ("ExpiredTokenException", 403),
    ),
    "mismatch": (("SignatureDoesNotMatch", 403), _QUERY_MISMATCH, _JSON_MISMATCH, _REST_MISMATCH),
    "payload": (("XAmzContentSHA256Mismatch", 400), _QUERY_MISMATCH, _JSON_MISMATCH, _REST_MISMATCH),
    "bearer": (("AccessDenied", 403), ("AccessDenied", 403), ("AccessDeniedException", 400), ("AccessDeniedException", 403)),
}  # fmt: skip
_COLUMNS: Mapping[Dialect, int] = {"s3": 0, "query": 1, "json": 2, "rest-json": 3}


def refusal(dialect: Dialect, reason: Reason, message: str, **fields: Any) -> ServiceError:
    """The error of one reason as services of this dialect word it; only S3's errors have further fields."""
    code, status = _CODES[reason][_COLUMNS[dialect]]
    return ServiceError(code, message, status=status, fields=fields if dialect == "s3" else None)
