"""A service's way to another one: through its operations, in process, without a signature but with authorisation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kenja.core import ids
from kenja.kernel import dispatch
from kenja.kernel.context import Context


def call(context: Context, service_name: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of `service_name`.`operation` as `context`'s principal sees it.

    Raises the called service's ServiceError, and LookupError when the caller's `service.toml` does not list it.
    """
    if service_name != context.service.name and service_name not in context.service.calls:
        raise LookupError(f"{context.service.name}/service.toml does not list {service_name!r} under calls")
    service = context.kernel.services.get(service_name)
    if service is None:
        raise LookupError(f"no service {service_name!r}")
    inner = replace(context, service=service, operation=operation, request_id=ids.request_id(), http=None)
    return dispatch.invoke(inner, request)
