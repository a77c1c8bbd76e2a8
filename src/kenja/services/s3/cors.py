"""Cross-origin requests by a bucket's CORS rules: which one fits, and the headers that it gives. No HTTP server here.

Amazon S3 User Guide, "Using cross-origin resource sharing (CORS)"; Fetch standard, "HTTP CORS protocol".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kenja.kernel.kernel import Kernel
from kenja.services.s3.service import service

VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


def rules(kernel: Kernel, bucket: str) -> list[Mapping[str, Any]]:
    """The CORS rules of a bucket, whoever asks; none where there is no bucket."""
    document = kernel.objects.documents.seen(bucket, "cors") if bucket else None
    return document["CORSRules"] if document else []


def headers(found: Iterable[Mapping[str, Any]], origin: str, method: str) -> dict[str, str]:
    """What an actual request's answer says to the browser; nothing where no rule fits."""
    rule = _fitting(found, origin, method, ())
    return {} if rule is None else _common(rule, origin)


def preflight(found: list[Mapping[str, Any]], given: Mapping[str, str]) -> dict[str, str]:
    """The headers of a preflight's answer. Raises S3's errors where the actual request would not be allowed."""
    origin, method = given.get("origin", ""), given.get("access-control-request-method", "")
    if not origin:
        raise service.error("cors_request", "Insufficient information. Origin request header needed.")
    if not method:
        raise service.error("cors_request", "Invalid Access-Control-Request-Method: null")
    if not found:
        raise service.error("cors_denied", "CORSResponse: CORS is not enabled for this bucket.")
    wanted = [name.strip() for name in given.get("access-control-request-headers", "").split(",") if name.strip()]
    rule = _fitting(found, origin, method, wanted)
    if rule is None:
        message = (
            "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of Origin, request "
            "method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
        )
        raise service.error("cors_denied", message, Method=method, ResourceType="BUCKET")
    answer = _common(rule, origin)
    if wanted:
        answer["access-control-allow-headers"] = ", ".join(name.lower() for name in wanted)
    if "MaxAgeSeconds" in rule:
        answer["access-control-max-age"] = str(rule["MaxAgeSeconds"])
    return answer


def _fitting(
    found: Iterable[Mapping[str, Any]], origin: str, method: str, wanted: Iterable[str]
) -> Mapping[str, Any] | None:
    """The first rule that allows an origin, a method and every header."""
    names = list(wanted)
    for rule in found:
        if method not in rule["AllowedMethods"] or not _any(rule["AllowedOrigins"], origin):
            continue
        allowed = rule.get("AllowedHeaders") or ()
        if all(_any(allowed, name, fold=True) for name in names):
            return rule
    return None


def _common(rule: Mapping[str, Any], origin: str) -> dict[str, str]:
    everybody = "*" in rule["AllowedOrigins"]
    answer = {
        "access-control-allow-origin": "*" if everybody else origin,
        "access-control-allow-methods": ", ".join(rule["AllowedMethods"]),
        "vary": VARY,
    }
    if not everybody:
        answer["access-control-allow-credentials"] = "true"
    if rule.get("ExposeHeaders"):
        answer["access-control-expose-headers"] = ", ".join(rule["ExposeHeaders"])
    return answer


def _any(patterns: Iterable[str], text: str, *, fold: bool = False) -> bool:
    flags = re.IGNORECASE if fold else 0
    return any(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, flags) for pattern in patterns)
