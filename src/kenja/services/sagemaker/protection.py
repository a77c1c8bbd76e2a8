"""What every job and model refuses when it can not be kept: a role that may not be passed, a network that stays open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kenja.kernel.context import Context


def problems(context: Context, request: Mapping[str, Any], role: str) -> Iterator[str]:
    """A sentence for each."""
    if problem := context.kernel.identity.passed_role_problem(context.principal, role):
        yield problem
    if request.get("EnableNetworkIsolation") and not context.kernel.capabilities.network_isolation:
        yield "EnableNetworkIsolation can not be honoured on this machine; `kenja doctor` tells what its sandbox lacks."
