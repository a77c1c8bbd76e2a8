"""Updates of an endpoint that serves: another configuration beside the present one, or other weights and counts. No request is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.hosting.rows import ReplicaRow, Wanted
from kenja.kernel.resources.store import Record
from kenja.services.sagemaker.hosting import deployment, endpoint_configs, events
from kenja.services.sagemaker.hosting.deployment import Deployment, Variant
from kenja.services.sagemaker.hosting.endpoints import FAMILY, HOST
from kenja.services.sagemaker.service import service

_SERVES = frozenset({"InService"})


@service.operation("UpdateEndpoint", level=2)
def update_endpoint(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Start the new configuration's replicas beside the present ones; when all of them answer, all requests go there at once."""
    record = _serving(context, request)
    for problem in _problems(request):
        raise context.error("validation", problem)
    now = deployment.current(record)
    wanted = deployment.resolve(context, request["EndpointConfigName"], now.revision + 1)
    if request.get("RetainAllVariantProperties"):
        excluded = {entry["VariantPropertyType"] for entry in request.get("ExcludeRetainedVariantProperties", [])}
        wanted = _retained(wanted, now, excluded)
    for problem in endpoint_configs.too_many(sum(variant.count for variant in wanted.variants)):
        raise context.error("limit", problem)
    with context.kernel.store.transaction():
        moved = _begin(context, record, {deployment.NEXT: wanted.members()})
        for replicas in wanted.wanted():
            context.kernel.hosting.enqueue(moved, HOST.name, replicas)
    context.kernel.jobs.poke()
    return {"EndpointArn": record.arn}


@service.operation("UpdateEndpointWeightsAndCapacities", level=2)
def update_endpoint_weights_and_capacities(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """New weights hold at once; replicas that are too many end when no gateway knows them any more, new ones join when they answer."""
    record = _serving(context, request)
    now = deployment.current(record)
    changed = {variant.name: variant for variant in now.variants}
    for entry in request["DesiredWeightsAndCapacities"]:
        changed[entry["VariantName"]] = _changed(context, record, changed.get(entry["VariantName"]), entry)
    wanted = replace(now, variants=tuple(changed.values()))
    for problem in endpoint_configs.too_many(sum(variant.count for variant in wanted.variants)):
        raise context.error("limit", problem)
    with context.kernel.store.transaction():
        moved = _begin(context, record, wanted.members())
        _resize(context, moved, wanted)
    context.kernel.routes.refresh()
    context.kernel.jobs.poke()
    return {"EndpointArn": record.arn}


def _serving(context: Context, request: dict[str, Any]) -> Record:
    record = FAMILY.find(context, request)
    if record.status not in _SERVES:
        raise _busy(context, record)
    return record


def _busy(context: Context, record: Record) -> Exception:
    if record.status == "Failed":
        return context.error(
            "validation", f'Cannot update failed endpoint "{record.arn}"; delete it and create it again.'
        )
    return context.error("validation", f'Cannot update in-progress endpoint "{record.arn}".')


def _begin(context: Context, record: Record, members: Mapping[str, Any]) -> Record:
    """Part of the transaction that is open; of two updates at once one is refused."""
    moved = context.kernel.store.change(
        record, status="Updating", sources=_SERVES, members={"FailureReason": None, **members}
    )
    if moved is None:
        raise _busy(context, replace(record, status="Updating"))
    events.announce(context, moved)
    return moved


def _problems(request: Mapping[str, Any]) -> Iterator[str]:
    given = request.get("DeploymentConfig", {})
    routing = given.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    if given.get("RollingUpdatePolicy"):
        yield "DeploymentConfig.RollingUpdatePolicy: this release of Kenja shifts all traffic at once; leave it out."
    if routing.get("Type", "ALL_AT_ONCE") != "ALL_AT_ONCE":
        yield f"TrafficRoutingConfiguration.Type {routing['Type']}: this release of Kenja knows ALL_AT_ONCE."
    if given.get("AutoRollbackConfiguration", {}).get("Alarms"):
        yield "DeploymentConfig.AutoRollbackConfiguration: this release of Kenja watches no alarms; leave it out."
    if request.get("ExcludeRetainedVariantProperties") and not request.get("RetainAllVariantProperties"):
        yield "ExcludeRetainedVariantProperties is given, so RetainAllVariantProperties must be true."


def _retained(wanted: Deployment, now: Deployment, excluded: set[str]) -> Deployment:
    """Weights and counts of variants that keep their names stay as they are."""

    def kept(variant: Variant) -> Variant:
        old = now.variant(variant.name)
        if old is None:
            return variant
        weight = variant.weight if "DesiredWeight" in excluded else old.weight
        return replace(variant, weight=weight, count=variant.count if "DesiredInstanceCount" in excluded else old.count)

    return replace(wanted, variants=tuple(kept(variant) for variant in wanted.variants))


def _changed(context: Context, record: Record, variant: Variant | None, entry: Mapping[str, Any]) -> Variant:
    name = entry["VariantName"]
    if variant is None:
        raise context.error("validation", f'The variant name(s) "{name}" is/are not present within endpoint configuration '
                                          f'"{deployment.current(record).config}".')  # fmt: skip
    if entry.get("ServerlessUpdateConfig"):
        raise context.error(
            "validation", f"variant {name!r}: ServerlessUpdateConfig is for serverless variants, which this is not."
        )
    count = entry.get("DesiredInstanceCount", variant.count)
    if count < 1:
        raise context.error("validation", f"variant {name!r}: DesiredInstanceCount is {count}; it must be 1 or more.")
    return replace(variant, weight=float(entry.get("DesiredWeight", variant.weight)), count=count)


def _resize(context: Context, record: Record, wanted: Deployment) -> None:
    hosting = context.kernel.hosting
    rows = [row for row in hosting.of(record.id) if row.revision == wanted.revision and not row.retired]
    for variant in wanted.variants:
        hosting.weigh(record.id, wanted.revision, variant.name, variant.weight)
        ours = sorted((row for row in rows if row.variant == variant.name), key=_worth)
        missing = variant.count - len(ours)
        if missing > 0:
            new = Wanted(variant.name, wanted.revision, missing, variant.weight)
            hosting.enqueue(record, HOST.name, new, serving=True)
        elif missing < 0:
            hosting.retire(ours[:-missing])


def _worth(row: ReplicaRow) -> bool:
    """What does not serve yet goes first."""
    return row.phase == "ready"
