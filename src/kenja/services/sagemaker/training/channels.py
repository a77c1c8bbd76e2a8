"""A training job's channels: from the request's data sources to folders, pipes and what the configuration files say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kenja.core.errors import JobFailed
from kenja.kernel.jobs.driver import Job
from kenja.services.sagemaker import sources
from kenja.services.sagemaker.sources import Item
from kenja_worker.shim import config_files

_REFERENCE = "-ref"  # an attribute of an augmented manifest with this ending is an address; its object is delivered


@dataclass
class Staged:
    """Parts of the shim's spec, and sentences for the job's log."""

    inputs: list[dict[str, str]] = field(default_factory=list)
    pipes: list[dict[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def mode(channel: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """The channel's input mode; the algorithm's where it names none."""
    return str(channel.get("InputMode") or body["AlgorithmSpecification"]["TrainingInputMode"])


def described(channel: Mapping[str, Any], body: Mapping[str, Any]) -> config_files.Channel:
    """The channel as inputdataconfig.json shows it."""
    distribution = channel["DataSource"]["S3DataSource"].get("S3DataDistributionType", "FullyReplicated")
    wrapper = channel.get("RecordWrapperType", "None")
    return config_files.Channel(channel.get("ContentType"), mode(channel, body), distribution, wrapper)


def stage(job: Job) -> Staged:
    """Link the channels' objects into the job's folder; with one instance, a shard is the whole. Raises JobFailed."""
    staged = Staged()
    for channel in job.record.body.get("InputDataConfig", []):
        name = channel["ChannelName"]
        folder = job.folder / "inputs" / name
        if mode(channel, job.record.body) == "Pipe":
            plan = _plan(job, channel, folder)
            path = job.folder / "pipes" / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(plan), encoding="utf-8")
            staged.pipes.append({"channel": name, "plan": str(path)})
            continue
        sources.link(job.context, _items(job, channel), folder, _where(channel))
        staged.inputs.append({"source": str(folder), "target": f"/opt/ml/input/data/{name}"})
        if channel.get("ShuffleConfig"):
            staged.remarks.append(
                f"ShuffleConfig orders what a pipe delivers; channel {name!r} is a folder, which has no order."
            )
    return staged


def _where(channel: Mapping[str, Any]) -> str:
    return f"channel {channel['ChannelName']!r} {channel['DataSource']['S3DataSource']['S3Uri']}"


def _items(job: Job, channel: Mapping[str, Any]) -> list[Item]:
    source = channel["DataSource"]["S3DataSource"]
    what = f"channel {channel['ChannelName']!r}"
    if source["S3DataType"] == "ManifestFile":
        return sources.listed_in(job.context, source["S3Uri"], _manifest(job, channel), what)
    return sources.under(job.context, source["S3Uri"], what)


def _manifest(job: Job, channel: Mapping[str, Any]) -> Path:
    return job.folder / "manifests" / str(channel["ChannelName"])


def _plan(job: Job, channel: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What kenja_worker.shim.feeder delivers in every epoch."""
    source = channel["DataSource"]["S3DataSource"]
    if source["S3DataType"] == "AugmentedManifestFile":
        records = _augmented(job, channel, folder)
    else:
        items = _items(job, channel)
        sources.link(job.context, items, folder, _where(channel))
        records = [[{"file": str(folder / item.name)}] for item in items]
    return {
        "records": records,
        "gzip": channel.get("CompressionType") == "Gzip",
        "recordio": channel.get("RecordWrapperType") == "RecordIO",
        "seed": channel.get("ShuffleConfig", {}).get("Seed"),
    }


def _augmented(job: Job, channel: Mapping[str, Any], folder: Path) -> list[list[dict[str, str]]]:
    """A record for each line of the manifest, with a piece for each of AttributeNames, in their order. Raises JobFailed."""
    source = channel["DataSource"]["S3DataSource"]
    what, names = f"channel {channel['ChannelName']!r}", source["AttributeNames"]
    path = _manifest(job, channel)
    sources.fetch(job.context, source["S3Uri"], path, what)
    records: list[list[dict[str, str]]] = []
    items: list[Item] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"ClientError: Data download failed: {what}: {source['S3Uri']}, line {number}"
            record: list[dict[str, str]] = []
            for name, value in _attributes(line, names, where):
                if not name.endswith(_REFERENCE):
                    record.append({"text": value if isinstance(value, str) else json.dumps(value)})
                    continue
                address = sources.split(value) if isinstance(value, str) else None
                if address is None or not address[1]:
                    raise JobFailed(f"{where}: {name!r} is {json.dumps(value)[:100]}; it must be s3://bucket/key.")
                items.append(Item(*address, str(len(items))))
                record.append({"file": str(folder / items[-1].name)})
            records.append(record)
    if not records:
        raise JobFailed(f"ClientError: Data download failed: {what}: {source['S3Uri']} has no lines.")
    sources.link(job.context, items, folder, _where(channel))
    return records


def _attributes(line: bytes, names: list[str], where: str) -> list[tuple[str, Any]]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise JobFailed(f"{where} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise JobFailed(f"{where} is not a JSON object.")
    for name in names:
        if name not in found:
            raise JobFailed(f"{where} has no attribute {name!r}; it has {', '.join(sorted(found))[:200]}.")
    return [(name, found[name]) for name in names]
