"""The endpoint configuration as a resource: which models an endpoint serves, on how many instances. It is never changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.declare import Resource
from kenja.services.sagemaker.service import service

MAX_INSTANCES = 20  # of one endpoint; SageMaker's default quota "Total number of instances across active endpoints"
WORDS = {
    "not_found": ("not_found", 'Could not find endpoint configuration "{arn}".'),
    "duplicate": ("duplicate", 'Cannot create already existing endpoint configuration "{arn}".'),
}
_LATER = {  # members of the request
    "AsyncInferenceConfig": "asynchronous inference",
    "ShadowProductionVariants": "shadow variants",
    "ExplainerConfig": "online explanations",
    "CrossRegionTrafficConfig": "traffic to other regions",
}
_LATER_VARIANT = {  # members of a variant
    "ServerlessConfig": "serverless inference; give InstanceType and InitialInstanceCount",
    "AcceleratorType": "elastic inference accelerators",
    "InstancePools": "instance pools; give InstanceType",
    "ManagedInstanceScaling": "managed scaling; give InitialInstanceCount",
    "CoreDumpConfig": "core dumps",
    "CapacityReservationConfig": "capacity reservations",
    "AcceleratorPartitionLayouts": "accelerator partitions",
}


def check(context: Context, request: dict[str, Any]) -> None:
    """Raise ValidationException with a sentence for the first thing that can not be done; fill in AWS's defaults."""
    for problem in _problems(context, request):
        raise context.error("validation", problem)
    for problem in too_many(sum(variant["InitialInstanceCount"] for variant in request["ProductionVariants"])):
        raise context.error("limit", problem)
    for variant in request["ProductionVariants"]:
        variant.setdefault("InitialVariantWeight", 1.0)


def too_many(instances: int) -> Iterator[str]:
    """A sentence when an endpoint wants more replicas than it may have."""
    if instances > MAX_INSTANCES:
        yield f"The endpoint wants {instances} instances; {MAX_INSTANCES} are allowed on this machine. Ask for fewer of them."


def _problems(context: Context, request: Mapping[str, Any]) -> Iterator[str]:
    variants = request["ProductionVariants"]
    for name, what in _LATER.items():
        if request.get(name):
            yield f"{name}: this release of Kenja does not have {what}; leave it out."
    if request.get("DataCaptureConfig", {}).get("EnableCapture"):
        yield "DataCaptureConfig.EnableCapture: this release of Kenja captures no requests; set it to false."
    if key := request.get("KmsKeyId"):
        yield f"KmsKeyId asks for encryption with {key!r}, which this release of Kenja can not do."
    names = [variant["VariantName"] for variant in variants]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"ProductionVariants has the VariantName {name!r} more than once; names must differ."
    for name in ("ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation"):
        if request.get(name):
            yield f"{name} of an endpoint configuration is for inference components, which this release of Kenja does not have."
    for variant in variants:
        yield from _variant(context, variant)


def _variant(context: Context, variant: Mapping[str, Any]) -> Iterator[str]:
    where = f"variant {variant['VariantName']!r}"
    for name, what in _LATER_VARIANT.items():
        if variant.get(name):
            yield f"{where}: {name}: this release of Kenja does not have {what}."
    model = variant.get("ModelName")
    if model is None:
        yield f"{where} names no ModelName."
    elif context.record("Model", model) is None:
        yield f'Could not find model "{context.arn(f"model/{model.lower()}")}".'
    if variant.get("InstanceType") is None:
        yield f"{where} names no InstanceType."
    count = variant.get("InitialInstanceCount")
    if count is None:
        yield f"{where} names no InitialInstanceCount."


ENDPOINT_CONFIG = service.resource(
    Resource("EndpointConfig", "endpoint-config/{lower}", check=check, errors=WORDS, level=2)
)
