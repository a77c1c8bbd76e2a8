"""Which protocol a request is written in, by its looks alone. Which of them a service speaks is `codec.resolve`."""

from __future__ import annotations

from collections.abc import Mapping


def select(headers: Mapping[str, str], content_type: str, path: str, query: str = "") -> str:
    """`smithy-rpc-v2-cbor`, `json-1.0`, `json-1.1`, `json`, `query` or `rest`; `headers` have lower-case names.

    Give it to `codec(model, …)`, which turns `rest` into the service's own kind. Of JSON, the request's version is
    named, so that the answer has it too.
    """
    if headers.get("smithy-protocol") == "rpc-v2-cbor" or rpc_names(path) is not None:
        return "smithy-rpc-v2-cbor"
    media = content_type.partition(";")[0].strip().lower()
    if "x-amz-target" in headers:
        version = media.removeprefix("application/x-amz-json-")
        return f"json-{version}" if version in ("1.0", "1.1") else "json"
    if media == "application/x-www-form-urlencoded":
        return "query"
    if path == "/" and any(pair.startswith("Action=") for pair in query.split("&")):
        return "query"
    return "rest"


def rpc_names(path: str) -> tuple[str, str] | None:
    """Service and operation of a Smithy RPC v2 path; None for any other path."""
    parts = path.split("/")
    if len(parts) == 5 and not parts[0] and parts[1] == "service" and parts[3] == "operation":
        return parts[2], parts[4]
    return None
