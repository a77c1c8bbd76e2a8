"""The endpoint as a resource. It keeps a copy of its configuration and model, so that both may be deleted while it serves."""

from __future__ import annotations

from typing import Any

from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.declare import Resource
from kenja.kernel.resources import tags
from kenja.kernel.resources.derive import Family
from kenja.kernel.resources.lifecycle import Lifecycle
from kenja.kernel.resources.store import AlreadyExists, Record
from kenja.services.sagemaker.hosting import events
from kenja.services.sagemaker.hosting.endpoint_configs import WORDS
from kenja.services.sagemaker.hosting.host import EndpointHost
from kenja.services.sagemaker.hosting.models import container
from kenja.services.sagemaker.service import service

LIFECYCLE = Lifecycle(
    "Creating",
    {
        "Creating": frozenset({"InService", "Failed"}),
        "InService": frozenset({"Deleting"}),
        "Failed": frozenset({"Deleting"}),
        "Deleting": frozenset(),
    },
)


def view(context: Context, record: Record) -> dict[str, Any]:
    """What Describe shows of the variant: how many of its instances answer now."""
    if context.operation != "DescribeEndpoint" or record.status == "Failed":
        return {}
    variant, model = record.body["_variant"], record.body["_model"]
    ready = sum(row.phase == "ready" for row in context.kernel.hosting.of(record.id))
    image = container(model)["Image"]
    summary: dict[str, Any] = {
        "VariantName": variant["VariantName"],
        "CurrentWeight": variant["InitialVariantWeight"],
        "DesiredWeight": variant["InitialVariantWeight"],
        "CurrentInstanceCount": ready,
        "DesiredInstanceCount": variant["InitialInstanceCount"],
    }
    if record.status == "Creating":
        summary["VariantStatus"] = [{"Status": "Creating", "StartTime": utc(record.created)}]
    else:
        image_at = {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": utc(record.created)}
        summary["DeployedImages"] = [image_at]
    return {"ProductionVariants": [summary]}


ENDPOINT = Resource("Endpoint", "endpoint/{lower}", lifecycle=LIFECYCLE, view=view, level=2)
FAMILY = Family(service, ENDPOINT)
HOST = service.host(EndpointHost())


@service.operation("CreateEndpoint", level=2)
def create_endpoint(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Store the endpoint and its wanted replicas; the reconciler starts them."""
    name, store = request["EndpointName"], context.kernel.store
    config = context.record("EndpointConfig", request["EndpointConfigName"])
    if config is None:
        arn = context.arn(f"endpoint-config/{request['EndpointConfigName'].lower()}")
        raise context.error("not_found", WORDS["not_found"][1].format(arn=arn))
    variant = config.body["ProductionVariants"][0]
    model = context.record("Model", variant["ModelName"])
    if model is None:
        arn = context.arn(f"model/{variant['ModelName'].lower()}")
        raise context.error("not_found", f'Could not find model "{arn}".')
    labels = tags.checked(context, request.get("Tags", []))
    members = {key: value for key, value in request.items() if key not in ("EndpointName", "Tags", "DeploymentConfig")}
    body = {**members, "_variant": variant, "_model": model.body}
    record = Record(context.scope, FAMILY.key, name, FAMILY.arn(context, name), LIFECYCLE.initial, body)
    try:
        with store.transaction():
            record = store.insert(record, labels)
            count = variant["InitialInstanceCount"]
            context.kernel.hosting.enqueue(record, HOST.name, variant["VariantName"], count)
            events.announce(context, record)
    except AlreadyExists:
        raise FAMILY.error(context, "duplicate", record) from None
    context.kernel.jobs.poke()
    return {"EndpointArn": record.arn}


@service.operation("DeleteEndpoint", level=2)
def delete_endpoint(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Take the route away; the reconciler ends the replicas and removes the endpoint."""
    record, store = FAMILY.find(context, request), context.kernel.store
    if record.status == "Creating":
        raise context.error("validation", f'Cannot update in-progress endpoint "{record.arn}".')
    if record.status == "Deleting":
        return {}
    with store.transaction():
        moved = store.change(record, status="Deleting", sources=LIFECYCLE.sources("Deleting"))
        if moved is not None:
            context.kernel.hosting.route(record.id, serving=False)
            events.announce(context, moved)
    context.kernel.routes.refresh()
    context.kernel.jobs.poke()
    return {}


service.resource(ENDPOINT)
