"""Runs training jobs: stages channels and code, hands the shim its spec, notes progress, collects model and failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kenja import runtimes
from kenja.core.clock import utc
from kenja.core.errors import JobFailed
from kenja.kernel.jobs import environment, overlays
from kenja.kernel.jobs.driver import Job, Outcome, Plan
from kenja.kernel.resources.store import Record
from kenja.kernel.telemetry import jobs as telemetry
from kenja.runtimes import ImageMatch
from kenja.services.sagemaker import archives, sources
from kenja.services.sagemaker.training import channels, checkpoints, entrypoint, history, notes, verdict
from kenja_worker import algorithms
from kenja_worker.shim.config_files import Host, write_config

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
NAMESPACE = "/aws/sagemaker/TrainingJobs"
GRACE = 120.0  # seconds between SIGTERM and SIGKILL; SageMaker developer guide, how training containers are stopped
SOURCE = "/opt/ml/input/source"  # where kenja_worker.shim.script looks for the source archive
ARCHIVE = "sourcedir.tar.gz"
PROGRAM, SUBMIT_DIRECTORY = "sagemaker_program", "sagemaker_submit_directory"
HOST = "algo-1"


class TrainingDriver:
    """See `kenja.kernel.jobs.driver.Driver`, which says when each method is called."""

    name = "training"

    def role(self, record: Record) -> str:
        return str(record.body["RoleArn"])

    def prepare(self, job: Job) -> Plan:
        body = job.record.body
        match = runtimes.resolve(body["AlgorithmSpecification"]["TrainingImage"])
        if match is None:
            raise JobFailed(f"ClientError: {runtimes.why_unknown(body['AlgorithmSpecification']['TrainingImage'])}")
        root = job.context.kernel.config.runtimes
        if not match.runtime.is_built(root):
            raise JobFailed(
                f"InternalServerError: the runtime {match.runtime.name!r} is not built under {root}; "
                f"run `kenja runtimes build {match.runtime.name}` and start the job again."
            )
        parameters: dict[str, str] = body.get("HyperParameters", {})
        command = entrypoint.words(body)
        script = PROGRAM in parameters and not command
        if not script and not command:
            _check_parameters(match, parameters)
        history.enter(job, "Downloading")
        staged = self._stage(job, script=script)
        inputs, remarks = staged.inputs, staged.remarks
        if command:
            inputs, more = entrypoint.loosen(job, inputs)
            remarks = [*remarks, *more]
        stream = f"{job.record.name}/{HOST}-{int(job.row.created)}"
        scope = job.record.scope
        segment = job.context.kernel.logs.open_stream(scope.account, scope.region, LOG_GROUP, stream)
        remarks = [*match.notes, *notes.of(body), *remarks]
        job.context.kernel.logs.append(
            scope.account, scope.region, LOG_GROUP, stream,
            [(int(job.context.kernel.clock.wall() * 1000), f"[kenja] {remark}") for remark in remarks],
        )  # fmt: skip
        started = history.enter(job, "Training", **_start_time(job))
        spec = {
            "version": 1,
            "id": f"{job.row.id}-{job.row.data['try']}",
            "name": job.record.name,
            "kind": "training",
            "readable": [str(path) for path in match.runtime.readable(root)],
            "env": {**(entrypoint.variables(match, root) if command else {}), **self._environment(job)},
            "working_directory": "/opt/ml",
            "inputs": inputs,
            "pipes": staged.pipes,
            "network": "none" if body.get("EnableNetworkIsolation") else "host",
            "hosts": {HOST: "127.0.0.1"},
            "limits": environment.limits(),
            "timeout_seconds": body["StoppingCondition"]["MaxRuntimeInSeconds"],
            "grace_seconds": GRACE,
            "log_segment": str(segment),
            "metrics": _metrics(match, started.body, script=script or bool(command)),
            "rung": job.context.kernel.config.rung,
            **(entrypoint.program(job, match, root, command) if command else self._program(job, match, script=script)),
        }
        warm = spec["python"] == str(match.runtime.python(root)) and not command
        retries = body.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
        return Plan(spec, match.runtime.preload if warm else (), retries)

    def progress(self, job: Job, status: Mapping[str, Any]) -> None:
        scope = job.record.scope
        telemetry.ingest(job.context.kernel.metrics, job.folder, scope, NAMESPACE, {"TrainingJobName": job.record.name})
        checkpoints.store(job)

    def finish(self, job: Job, outcome: Outcome) -> tuple[str, dict[str, Any]]:
        if outcome.cause not in ("refused", "lost", "launch"):
            record = history.enter(job, "Uploading")
            checkpoints.store(job, last=True)
            uploaded = archives.upload(job)
        else:
            record, uploaded = job.record, {}
        now = job.context.kernel.clock.virtual()
        status, secondary, members = verdict.of(record, outcome)
        begun = record.body.get("TrainingStartTime")
        if begun is not None:
            members |= {
                "TrainingEndTime": utc(now),
                "TrainingTimeInSeconds": max(1, round(now - begun.timestamp())),
            }
        final = telemetry.last_values(job.folder)
        if final:
            members["FinalMetricDataList"] = [
                {"MetricName": name, "Value": value, "Timestamp": utc(at)} for name, (at, value) in final.items()
            ]
        return status, {**uploaded, **members, **history.entered(record, secondary, now, final=True)}

    def moved(self, job: Job, record: Record) -> None:
        detail: dict[str, Any] = {
            "TrainingJobName": record.name,
            "TrainingJobArn": record.arn,
            "TrainingJobStatus": record.status,
            **{
                name: record.body[name]
                for name in ("SecondaryStatus", "FailureReason", "ModelArtifacts", "RoleArn", "HyperParameters")
                if name in record.body
            },
        }
        job.context.kernel.outbox.append(
            record.scope, "aws.sagemaker", "SageMaker Training Job State Change", [record.arn], detail
        )

    def _stage(self, job: Job, *, script: bool) -> channels.Staged:
        """The channels beside /opt/ml, mounted read-only below it or piped into it; the configuration inside it."""
        body = job.record.body
        staged = channels.stage(job)
        parameters = body.get("HyperParameters", {})
        if script:
            code = job.folder / "code"
            uri = _decoded(parameters.get(SUBMIT_DIRECTORY, ""))
            sources.fetch(job.context, uri, code / ARCHIVE, f"the hyper-parameter {SUBMIT_DIRECTORY}")
            staged.inputs.append({"source": str(code), "target": SOURCE})
        described = {one["ChannelName"]: channels.described(one, body) for one in body.get("InputDataConfig", [])}
        host = Host(HOST, [HOST], body["ResourceConfig"]["InstanceType"])
        write_config(job.folder / "ml", parameters, described, host)
        checkpoints.restore(job)
        return staged

    def _environment(self, job: Job) -> dict[str, str]:
        body = job.record.body
        return {
            **environment.client_variables(
                job.context, body["RoleArn"], job.row.id, isolated=body["EnableNetworkIsolation"]
            ),
            "TRAINING_JOB_NAME": job.record.name,
            "TRAINING_JOB_ARN": job.record.arn,
            **body.get("Environment", {}),
        }

    def _program(self, job: Job, match: ImageMatch, *, script: bool) -> dict[str, Any]:
        root = job.context.kernel.config.runtimes
        python = match.runtime.python(root)
        if not script:
            return {"python": str(python), "module": "kenja_worker.algorithms.train", "argv": [match.algorithm]}
        wanted = archives.requirements(job.folder / "code" / ARCHIVE)
        extra: dict[str, Any] = {}
        if wanted is not None:
            found = overlays.overlay(match.runtime, root, job.context.kernel.config.data / "overlays", wanted)
            python = found.python
            extra = {"readable": [*map(str, match.runtime.readable(root)), str(found.location)]}
        return {"python": str(python), "module": "kenja_worker.shim.script", "argv": [], **extra}


def _check_parameters(match: ImageMatch, parameters: Mapping[str, str]) -> None:
    """The algorithm's own table refuses what it does not know, before anything is downloaded. Raises JobFailed."""
    assert match.algorithm is not None
    try:
        algorithms.find(match.algorithm).hyperparameters.parse(parameters)
    except algorithms.ClientError as error:
        raise JobFailed(str(error)) from error


def _metrics(match: ImageMatch, body: Mapping[str, Any], *, script: bool) -> list[dict[str, str]]:
    if script or match.algorithm is None:
        wanted = body["AlgorithmSpecification"].get("MetricDefinitions", [])
        return [{"name": entry["Name"], "regex": entry["Regex"]} for entry in wanted]
    return [{"name": metric.name, "regex": metric.regex} for metric in algorithms.find(match.algorithm).metrics]


def _decoded(value: str) -> str:
    """A hyper-parameter as the SDK writes it: JSON, or the plain text."""
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, str) else value


def _start_time(job: Job) -> dict[str, Any]:
    return {"TrainingStartTime": utc(job.context.kernel.clock.virtual())}
