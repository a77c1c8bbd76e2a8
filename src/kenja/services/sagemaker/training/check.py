"""What CreateTrainingJob refuses beyond the model: what protects and can not be honoured, and what is not built yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kenja import runtimes
from kenja.kernel.context import Context
from kenja.services.sagemaker import protection, sources
from kenja.services.sagemaker.training import channels, checkpoints

MAX_RUNTIME = 24 * 60 * 60  # seconds; MaxRuntimeInSeconds of a request that names none; API reference
_LATER = {  # members whose effect this release does not have, with what to do instead
    "ServerlessJobConfig": "name an image in AlgorithmSpecification",
    "MlflowConfig": "log from your script",
    "ModelPackageConfig": "register the model after training",
    "SessionChainingConfig": "leave it out",
}


def check(context: Context, request: dict[str, Any]) -> None:
    """Raise ValidationException with a sentence for the first thing that can not be done; fill in AWS's defaults."""
    for problem in _problems(context, request):
        raise context.error("validation", problem)
    request.setdefault("StoppingCondition", {}).setdefault("MaxRuntimeInSeconds", MAX_RUNTIME)
    for name in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"):
        request.setdefault(name, False)


def _problems(context: Context, request: dict[str, Any]) -> Iterator[str]:
    yield from _algorithm(request)
    yield from _resources(request.get("ResourceConfig"))
    yield from _channels(request)
    yield from checkpoints.problems(request.get("CheckpointConfig"))
    yield from _keys(request)
    yield from _stopping(request)
    yield from protection.problems(context, request, request["RoleArn"])
    for name, instead in _LATER.items():
        if request.get(name):
            yield f"{name} is not supported by this release of Kenja; {instead}."
    path = request["OutputDataConfig"]["S3OutputPath"]
    if sources.split(path) is None:
        yield f"OutputDataConfig.S3OutputPath is {path!r}; it must be s3://bucket/prefix."


def _algorithm(request: Mapping[str, Any]) -> Iterator[str]:
    specification = request.get("AlgorithmSpecification")
    if not specification:
        yield "AlgorithmSpecification is missing: name the TrainingImage of a built-in algorithm or a framework."
        return
    if specification.get("ContainerArguments") and not specification.get("ContainerEntrypoint"):
        yield (
            "AlgorithmSpecification.ContainerArguments without a ContainerEntrypoint is not supported by this release of "
            "Kenja; give the whole command."
        )
    image = specification.get("TrainingImage")
    if specification.get("AlgorithmName"):
        yield "AlgorithmSpecification.AlgorithmName is not supported by this release of Kenja; give a TrainingImage."
    elif not image:
        yield "AlgorithmSpecification names no TrainingImage."
    else:
        match = runtimes.resolve(image)
        if match is None:
            yield runtimes.why_unknown(image)
        elif match.algorithm and specification.get("MetricDefinitions") and not _has_script(request):
            yield "MetricDefinitions can not be given for a built-in algorithm: its metrics are fixed."
        elif not match.algorithm and not _has_script(request):
            yield (
                f"{image} is a framework image: the hyper-parameters sagemaker_program and sagemaker_submit_directory "
                "must name a script and where it lies, or AlgorithmSpecification.ContainerEntrypoint a command."
            )
    if specification.get("TrainingImageConfig"):
        yield "AlgorithmSpecification.TrainingImageConfig is not supported by this release of Kenja; leave it out."


def _has_script(request: Mapping[str, Any]) -> bool:
    own = request["AlgorithmSpecification"].get("ContainerEntrypoint")
    return bool(own) or "sagemaker_program" in request.get("HyperParameters", {})


def _resources(config: Mapping[str, Any] | None) -> Iterator[str]:
    if not config:
        yield "ResourceConfig is missing: give InstanceType, InstanceCount and VolumeSizeInGB."
        return
    for name in ("InstanceGroups", "InstancePreferences", "TrainingPlanArn"):
        if config.get(name):
            yield f"ResourceConfig.{name} is not supported by this release of Kenja; give InstanceType and InstanceCount."
    if not config.get("InstanceType"):
        yield "ResourceConfig.InstanceType is missing."
    if config.get("InstanceCount") != 1:
        yield (
            f"ResourceConfig.InstanceCount is {config.get('InstanceCount')}; this release of Kenja trains on one instance. "
            "Set InstanceCount to 1."
        )


def _channels(request: Mapping[str, Any]) -> Iterator[str]:
    present = request.get("InputDataConfig", [])
    names = [channel["ChannelName"] for channel in present]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        yield f"InputDataConfig names {', '.join(twice)} more than once; every ChannelName must be unique."
    for channel in present:
        where = f"channel {channel['ChannelName']!r}"
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            given = ", ".join(channel["DataSource"]) or "no data source"
            yield f"{where} has {given}; this release of Kenja reads S3DataSource only. Copy the data into a bucket."
            continue
        if sources.split(source["S3Uri"]) is None:
            yield f"{where}: S3Uri is {source['S3Uri']!r}; it must be s3://bucket/prefix."
        if channels.mode(channel, request) != "Pipe":
            yield from _without_pipe(channel, where)
        yield from _data_type(source, channels.mode(channel, request), where)


def _without_pipe(channel: Mapping[str, Any], where: str) -> Iterator[str]:
    """Members that only a pipe can honour; API reference, Channel."""
    if channel.get("CompressionType", "None") != "None":
        yield f"{where}: CompressionType is for input mode Pipe only; unpack the data, use Pipe or leave it out."
    if channel.get("RecordWrapperType", "None") != "None":
        yield f"{where}: RecordWrapperType is for input mode Pipe only; use Pipe or leave it out."


def _data_type(source: Mapping[str, Any], mode: str, where: str) -> Iterator[str]:
    kind, augmented = source["S3DataType"], source["S3DataType"] == "AugmentedManifestFile"
    if kind == "Converse":
        yield f"{where}: S3DataType Converse is for fine-tuning foundation models, which this release of Kenja does not do."
    if mode == "FastFile" and kind != "S3Prefix":
        yield f"{where}: S3DataType is {kind}; input mode FastFile reads S3Prefix only."
    if augmented and mode != "Pipe":
        yield f"{where}: AugmentedManifestFile can only be used with input mode Pipe; it is {mode}."
    if augmented and not source.get("AttributeNames"):
        yield f"{where}: AugmentedManifestFile needs AttributeNames, which say what of each line is delivered."
    if source.get("AttributeNames") and not augmented:
        yield f"{where}: AttributeNames belong to the S3DataType AugmentedManifestFile; it is {kind}."
    for name in ("InstanceGroupNames", "ModelAccessConfig", "HubAccessConfig"):
        if source.get(name):
            yield f"{where}: S3DataSource.{name} is not supported by this release of Kenja; leave it out."


def _keys(request: Mapping[str, Any]) -> Iterator[str]:
    keys = {
        "OutputDataConfig.KmsKeyId": request["OutputDataConfig"].get("KmsKeyId"),
        "ResourceConfig.VolumeKmsKeyId": (request.get("ResourceConfig") or {}).get("VolumeKmsKeyId"),
    }
    for name, key in keys.items():
        if key:
            yield f"{name} asks for encryption with {key!r}, which this release of Kenja can not do; it will not store it plain."


def _stopping(request: Mapping[str, Any]) -> Iterator[str]:
    condition = request.get("StoppingCondition", {})
    limit, wait = condition.get("MaxRuntimeInSeconds", MAX_RUNTIME), condition.get("MaxWaitTimeInSeconds")
    spot = request.get("EnableManagedSpotTraining")
    if wait is not None and not spot:
        yield "StoppingCondition.MaxWaitTimeInSeconds is only for EnableManagedSpotTraining."
    if spot and (wait is None or wait < limit):
        yield f"EnableManagedSpotTraining needs a MaxWaitTimeInSeconds of at least MaxRuntimeInSeconds ({limit})."
