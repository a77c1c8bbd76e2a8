"""Runs the replicas of endpoints: stages the model as the execution role, says what to start, writes the endpoint's states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kenja import runtimes
from kenja.core.errors import JobFailed
from kenja.kernel.context import Context
from kenja.kernel.hosting.host import SOCKET, Replica
from kenja.kernel.hosting.rows import ReplicaRow
from kenja.kernel.jobs import environment
from kenja.kernel.jobs.driver import Plan
from kenja.kernel.resources.store import Record
from kenja.runtimes import ImageMatch
from kenja.services.sagemaker.hosting import deployment, events, staging
from kenja.services.sagemaker.hosting.deployment import Variant
from kenja.services.sagemaker.hosting.models import container

LOG_GROUP = "/aws/sagemaker/Endpoints/{name}"
GRACE = 30.0  # seconds between SIGTERM and SIGKILL; SageMaker developer guide, how hosting containers are stopped
MAX_REASON = 1024  # characters of FailureReason; API reference


class EndpointHost:
    """See `kenja.kernel.hosting.host.Host`, which says when each method is called."""

    name = "endpoint"
    wanted = frozenset({"Creating", "InService", "Updating"})
    waiting = frozenset({"Creating", "Updating"})
    leaving = "Deleting"

    def role(self, record: Record, row: ReplicaRow) -> str:
        return str(_variant(record, row).model["ExecutionRoleArn"])

    def prepare(self, replica: Replica) -> Plan:
        body = _variant(replica.record, replica.row).model
        given = container(body)
        match = runtimes.resolve(given["Image"])
        root = replica.context.kernel.config.runtimes
        if match is None:
            raise JobFailed(runtimes.why_unknown(given["Image"]))
        if not match.runtime.is_built(root):
            raise JobFailed(
                f"The runtime {match.runtime.name!r} is not built under {root}; run `kenja runtimes build "
                f"{match.runtime.name}`, then delete the endpoint and create it again."
            )
        staged = staging.stage(replica, given)
        server = staging.server(replica, match, given, staged)
        isolated = bool(body.get("EnableNetworkIsolation"))
        spec = {
            "version": 1,
            "id": replica.row.folder,
            "name": replica.record.name,
            "kind": "server",
            "python": str(server.python),
            "readable": [str(path) for path in (*match.runtime.readable(root), *server.readable)],
            "module": "kenja_worker.modelserver",
            "argv": ["--socket", f"/run/kenja/{SOCKET}", *server.arguments],
            "env": {
                **environment.client_variables(
                    replica.context, body["ExecutionRoleArn"], replica.row.id, isolated=isolated
                ),
                **given.get("Environment", {}),
            },
            "working_directory": "/opt/ml",
            "inputs": [{"source": str(source), "target": target} for target, source in staged.items()],
            "network": "none" if isolated else "host",
            "limits": environment.limits(),
            "grace_seconds": GRACE,
            "log_segment": str(self._log(replica, match, body)),
            "rung": replica.context.kernel.config.rung,
        }
        return Plan(spec, match.runtime.preload if server.python == match.runtime.python(root) else ())

    def opened(self, context: Context, record: Record, revision: int) -> None:
        following = deployment.following(record)
        if (following or deployment.current(record)).revision == revision:
            members = {} if following is None else {**following.members(), deployment.NEXT: None}
            self._move(context, record, "InService", self.waiting, members)

    def failed(self, context: Context, record: Record, revision: int, reason: str) -> None:
        following = deployment.following(record)
        said = {"FailureReason": reason[:MAX_REASON]}
        if following is None:
            self._move(context, record, "Failed", frozenset({"Creating"}), said)
        elif following.revision == revision:  # the revision that serves goes on
            self._move(context, record, "InService", frozenset({"Updating"}), {**said, deployment.NEXT: None})

    def gone(self, context: Context, record: Record) -> None:
        context.kernel.store.delete(record)

    def _move(
        self, context: Context, record: Record, status: str, sources: frozenset[str], members: Mapping[str, Any]
    ) -> None:
        moved = context.kernel.store.change(record, status=status, sources=sources, members=members)
        if moved is not None:
            events.announce(context, moved)

    def _log(self, replica: Replica, match: ImageMatch, body: Mapping[str, Any]) -> Path:
        logs, clock, scope = replica.context.kernel.logs, replica.context.kernel.clock, replica.record.scope
        group = LOG_GROUP.format(name=replica.record.name)
        stream = f"{replica.row.variant}/i-{replica.row.id[:17]}"
        remarks = [*match.notes]
        variant = _variant(replica.record, replica.row).given
        remarks.append(f"{variant['InstanceType']} is a share of this machine: its cores and memory are what it gets.")
        if body.get("VpcConfig"):
            remarks.append("VpcConfig was recorded; it has no effect in this release.")
        now = int(clock.wall() * 1000)
        logs.append(scope.account, scope.region, group, stream, [(now, f"[kenja] {remark}") for remark in remarks])
        return logs.open_stream(scope.account, scope.region, group, stream)


def _variant(record: Record, row: ReplicaRow) -> Variant:
    """What a replica serves. Raises LookupError when an update that was given up wanted it."""
    revision = deployment.of(record, row.revision)
    variant = None if revision is None else revision.variant(row.variant)
    if variant is None:
        raise LookupError(
            f"endpoint {record.name} has no revision {row.revision} with a variant {row.variant} any more"
        )
    return variant
