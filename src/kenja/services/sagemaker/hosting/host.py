"""Runs the replicas of endpoints: stages the model as the execution role, says what to start, writes the endpoint's states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kenja import runtimes
from kenja.core.errors import JobFailed, ServiceError
from kenja.kernel.context import Context
from kenja.kernel.hosting.host import SOCKET, Replica
from kenja.kernel.jobs import environment
from kenja.kernel.jobs.driver import Plan
from kenja.kernel.resources.store import Record
from kenja.runtimes import ImageMatch
from kenja.runtimes.places import draft_of
from kenja.services.sagemaker import sources
from kenja.services.sagemaker.hosting import events, unpacking
from kenja.services.sagemaker.hosting.models import container

LOG_GROUP = "/aws/sagemaker/Endpoints/{name}"
GRACE = 30.0  # seconds between SIGTERM and SIGKILL; SageMaker developer guide, how hosting containers are stopped
MAX_REASON = 1024  # characters of FailureReason; API reference
_COMPLETE = "complete"


class EndpointHost:
    """See `kenja.kernel.hosting.host.Host`, which says when each method is called."""

    name = "endpoint"
    wanted = frozenset({"Creating", "InService"})
    leaving = "Deleting"

    def role(self, record: Record) -> str:
        return str(record.body["_model"]["ExecutionRoleArn"])

    def prepare(self, replica: Replica) -> Plan:
        body = replica.record.body["_model"]
        given = container(body)
        match = runtimes.resolve(given["Image"])
        root = replica.context.kernel.config.runtimes
        if match is None or match.algorithm is None:
            raise JobFailed(runtimes.why_unknown(given["Image"]))
        if not match.runtime.is_built(root):
            raise JobFailed(
                f"The runtime {match.runtime.name!r} is not built under {root}; run `kenja runtimes build "
                f"{match.runtime.name}`, then delete the endpoint and create it again."
            )
        model = self._staged(replica, given["ModelDataUrl"])
        isolated = bool(body.get("EnableNetworkIsolation"))
        spec = {
            "version": 1,
            "id": replica.row.folder,
            "name": replica.record.name,
            "kind": "server",
            "python": str(match.runtime.python(root)),
            "readable": [str(path) for path in match.runtime.readable(root)],
            "module": "kenja_worker.modelserver",
            "argv": ["--socket", f"/run/kenja/{SOCKET}", "--algorithm", match.algorithm],
            "env": {
                **environment.client_variables(
                    replica.context, body["ExecutionRoleArn"], replica.row.id, isolated=isolated
                ),
                **given.get("Environment", {}),
            },
            "working_directory": "/opt/ml",
            "inputs": [{"source": str(model), "target": "/opt/ml/model"}],
            "network": "none" if isolated else "host",
            "limits": environment.limits(),
            "grace_seconds": GRACE,
            "log_segment": str(self._log(replica, match, body)),
            "rung": replica.context.kernel.config.rung,
        }
        return Plan(spec, match.runtime.preload)

    def opened(self, context: Context, record: Record) -> bool:
        return self._move(context, record, "InService")

    def failed(self, context: Context, record: Record, reason: str) -> None:
        self._move(context, record, "Failed", FailureReason=reason[:MAX_REASON])

    def gone(self, context: Context, record: Record) -> None:
        context.kernel.store.delete(record)

    def _move(self, context: Context, record: Record, status: str, **members: Any) -> bool:
        moved = context.kernel.store.change(record, status=status, sources=frozenset({"Creating"}), members=members)
        if moved is not None:
            events.announce(context, moved)
        return moved is not None

    def _staged(self, replica: Replica, url: str) -> Path:
        """The unpacked model, shared read-only by all replicas of the endpoint. Raises JobFailed."""
        place = replica.shared / "model"
        with draft_of(place, _COMPLETE) as draft:
            if draft is not None:
                archive = replica.folder / "model.tar.gz"
                address = sources.split(url)
                assert address is not None
                try:
                    replica.context.call("s3", "HeadObject", Bucket=address[0], Key=address[1])  # as the role
                    replica.context.kernel.objects.link(replica.context.account, *address, archive)
                except ServiceError as error:
                    raise JobFailed(
                        f"Failed to download model data for container from URL: {url}. Please ensure that there is an "
                        f"object located at the URL and that the role {self.role(replica.record)} may read it. "
                        f"S3 said: {error.code}: {error.message}"
                    ) from error
                unpacking.unpack(archive, draft / "files", url)
                archive.unlink()
                (draft / _COMPLETE).touch()
        return place / "files"

    def _log(self, replica: Replica, match: ImageMatch, body: dict[str, Any]) -> Path:
        logs, clock, scope = replica.context.kernel.logs, replica.context.kernel.clock, replica.record.scope
        group = LOG_GROUP.format(name=replica.record.name)
        stream = f"{replica.row.variant}/i-{replica.row.id[:17]}"
        remarks = [*match.notes]
        variant = replica.record.body["_variant"]
        remarks.append(f"{variant['InstanceType']} is a share of this machine: its cores and memory are what it gets.")
        if body.get("VpcConfig"):
            remarks.append("VpcConfig was recorded; it has no effect in this release.")
        now = int(clock.wall() * 1000)
        logs.append(scope.account, scope.region, group, stream, [(now, f"[kenja] {remark}") for remark in remarks])
        return logs.open_stream(scope.account, scope.region, group, stream)
