"""A request before its body: method, raw path, raw query and headers as the client sent them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kenja.kernel.context import HttpView


@dataclass(frozen=True, slots=True)
class Head:
    """Everything that routing and signatures need."""

    method: str
    path: str  # raw, still percent-encoded, without the query
    query: str  # raw
    headers: Mapping[str, str]  # names in lower case; repeated ones joined by ","
    scheme: str = "http"  # or "https"
    client: str = ""  # the address that the request came from

    @property
    def has_body(self) -> bool:
        """Whether a body follows; RFC 9112, section 6.3."""
        return self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers

    @property
    def waits_to_send(self) -> bool:
        """Whether the client keeps its body until it is told to go on (RFC 9110, 10.1.1)."""
        return self.headers.get("expect", "").lower() == "100-continue"

    @property
    def view(self) -> HttpView:
        """The part that handlers may see."""
        base_url = f"{self.scheme}://{self.headers.get('host', '')}"
        return HttpView(self.method, self.path, self.query, self.headers, base_url, self.client)


def from_asgi(scope: Mapping[str, Any]) -> Head:
    """The head of an ASGI http scope."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.strip(b" \t").decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    raw_path = scope.get("raw_path") or scope["path"].encode()
    path = raw_path.partition(b"?")[0].decode("latin-1")
    client = str((scope.get("client") or ("",))[0])
    return Head(scope["method"], path, scope["query_string"].decode("latin-1"), headers, scope["scheme"], client)
