"""The endpoint as a resource. It keeps a copy of its configuration and models, so that both may be deleted while it serves."""

from __future__ import annotations

from typing import Any

from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.declare import Resource
from kenja.kernel.hosting.rows import ReplicaRow
from kenja.kernel.resources import tags
from kenja.kernel.resources.derive import Family
from kenja.kernel.resources.lifecycle import Lifecycle
from kenja.kernel.resources.store import AlreadyExists, Record
from kenja.services.sagemaker.hosting import deployment, events
from kenja.services.sagemaker.hosting.deployment import Deployment, Variant
from kenja.services.sagemaker.hosting.host import EndpointHost
from kenja.services.sagemaker.hosting.models import container
from kenja.services.sagemaker.service import service

LIFECYCLE = Lifecycle(
    "Creating",
    {
        "Creating": frozenset({"InService", "Failed"}),
        "InService": frozenset({"Updating", "Deleting"}),
        "Updating": frozenset({"InService"}),
        "Failed": frozenset({"Deleting"}),
        "Deleting": frozenset(),
    },
)


def view(context: Context, record: Record) -> dict[str, Any]:
    """What Describe shows of the variants: how many of their instances answer now, and what an update is about to make."""
    if context.operation != "DescribeEndpoint" or record.status == "Failed":
        return {}
    rows = [row for row in context.kernel.hosting.of(record.id) if not row.retired]
    shown: dict[str, Any] = {"ProductionVariants": _summaries(record, deployment.current(record), rows)}
    following = deployment.following(record)
    if following is not None:
        shown["PendingDeploymentSummary"] = {
            "EndpointConfigName": following.config,
            "ProductionVariants": [
                {**summary, "InstanceType": variant.given["InstanceType"]}
                for summary, variant in zip(_summaries(record, following, rows), following.variants, strict=True)
            ],
            "StartTime": utc(record.modified),
        }
    return shown


def _summaries(record: Record, revision: Deployment, rows: list[ReplicaRow]) -> list[dict[str, Any]]:
    return [_summary(record, variant, revision.revision, rows) for variant in revision.variants]


def _summary(record: Record, variant: Variant, revision: int, rows: list[ReplicaRow]) -> dict[str, Any]:
    ready = sum(row.phase == "ready" for row in rows if (row.revision, row.variant) == (revision, variant.name))
    image = container(variant.model)["Image"]
    summary: dict[str, Any] = {
        "VariantName": variant.name,
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.weight,
        "CurrentInstanceCount": ready,
        "DesiredInstanceCount": variant.count,
    }
    if record.status in ("Creating", "Updating") and ready < variant.count:
        summary["VariantStatus"] = [{"Status": record.status, "StartTime": utc(record.modified)}]
    if record.status != "Creating":
        image_at = {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": utc(record.created)}
        summary["DeployedImages"] = [image_at]
    return summary


ENDPOINT = Resource("Endpoint", "endpoint/{lower}", lifecycle=LIFECYCLE, view=view, level=2)
FAMILY = Family(service, ENDPOINT)
HOST = service.host(EndpointHost())


@service.operation("CreateEndpoint", level=2)
def create_endpoint(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Store the endpoint and its wanted replicas; the reconciler starts them."""
    name, store = request["EndpointName"], context.kernel.store
    first = deployment.resolve(context, request["EndpointConfigName"], 1)
    labels = tags.checked(context, request.get("Tags", []))
    record = Record(context.scope, FAMILY.key, name, FAMILY.arn(context, name), LIFECYCLE.initial, first.members())
    try:
        with store.transaction():
            record = store.insert(record, labels)
            for wanted in first.wanted():
                context.kernel.hosting.enqueue(record, HOST.name, wanted)
            events.announce(context, record)
    except AlreadyExists:
        raise FAMILY.error(context, "duplicate", record) from None
    context.kernel.jobs.poke()
    return {"EndpointArn": record.arn}


@service.operation("DeleteEndpoint", level=2)
def delete_endpoint(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Take the route away; the reconciler ends the replicas and removes the endpoint."""
    record, store = FAMILY.find(context, request), context.kernel.store
    if record.status in ("Creating", "Updating"):
        raise context.error("validation", f'Cannot update in-progress endpoint "{record.arn}".')
    if record.status == "Deleting":
        return {}
    with store.transaction():
        moved = store.change(record, status="Deleting", sources=LIFECYCLE.sources("Deleting"))
        if moved is not None:
            context.kernel.hosting.close(record.id)
            events.announce(context, moved)
    if moved is None:  # an update began meanwhile
        raise context.error("validation", f'Cannot update in-progress endpoint "{record.arn}".')
    context.kernel.routes.refresh()
    context.kernel.jobs.poke()
    return {}


service.resource(ENDPOINT)
