"""Members of a request that only observe or place: they are kept, have no effect here, and the job's log says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_RECORDED = (  # members without an effect, in the request's order
    "VpcConfig",
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "TensorBoardOutputConfig",
    "ExperimentConfig",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
    "RemoteDebugConfig",
    "InfraCheckConfig",
)


def of(body: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each."""
    resources = body["ResourceConfig"]
    yield f"{resources['InstanceType']} is a share of this machine: its cores and memory are what the job gets."
    for name in _RECORDED:
        if body.get(name):
            yield f"{name} was recorded; it has no effect in this release."
    if resources.get("KeepAlivePeriodInSeconds"):
        yield "KeepAlivePeriodInSeconds was recorded; every job starts warm anyway where its runtime allows it."
    if body.get("EnableManagedSpotTraining"):
        yield "EnableManagedSpotTraining was recorded; nothing interrupts jobs on this machine."
    if body.get("EnableInterContainerTrafficEncryption"):
        yield "EnableInterContainerTrafficEncryption: one instance has no traffic to another, so there is none to encrypt."
