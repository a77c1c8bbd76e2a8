"""The configuration files of the training contract, below /opt/ml/input/config: written by the platform, read by jobs. No other paths."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_GROUP = "homogeneousCluster"  # what SageMaker calls the only instance group of a job without groups
DEFAULT_INTERFACE = "eth0"


@dataclass(frozen=True)
class Channel:
    content_type: str | None = None
    input_mode: str = "File"
    distribution: str = "FullyReplicated"
    record_wrapper: str = "None"

    def document(self) -> dict[str, str]:
        content = {} if self.content_type is None else {"ContentType": self.content_type}
        return content | {
            "TrainingInputMode": self.input_mode,
            "S3DistributionType": self.distribution,
            "RecordWrapperType": self.record_wrapper,
        }


@dataclass(frozen=True)
class Host:
    current: str
    hosts: Sequence[str]
    instance_type: str
    group: str = DEFAULT_GROUP
    groups: Sequence[Mapping[str, Any]] = ()  # {"instance_group_name", "instance_type", "hosts"}
    interface: str = DEFAULT_INTERFACE

    def document(self) -> dict[str, Any]:
        hosts = sorted(self.hosts)
        only = [{"instance_group_name": self.group, "instance_type": self.instance_type, "hosts": hosts}]
        return {
            "current_host": self.current,
            "current_instance_type": self.instance_type,
            "current_group_name": self.group,
            "hosts": hosts,
            "instance_groups": [dict(group) for group in self.groups] or only,
            "network_interface_name": self.interface,
        }


def write_config(ml: Path, hyperparameters: Mapping[str, str], channels: Mapping[str, Channel], host: Host) -> None:
    """Write the three files for one host and make the folders that the contract promises. `ml` becomes /opt/ml."""
    config = ml / "input" / "config"
    for folder in (config, ml / "input" / "data", ml / "model", ml / "output" / "data", ml / "code"):
        folder.mkdir(parents=True, exist_ok=True)
    documents: dict[str, Mapping[str, Any]] = {
        "hyperparameters.json": hyperparameters,
        "inputdataconfig.json": {name: channel.document() for name, channel in channels.items()},
        "resourceconfig.json": host.document(),
    }
    for name, document in documents.items():
        (config / name).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def read_config(ml: Path, name: str) -> dict[str, Any]:
    """One of the files, an empty object if it is absent."""
    path = ml / "input" / "config" / name
    if not path.is_file():
        return {}
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError(f"{path} must hold a JSON object; it holds {type(document).__name__}.")
    return document


def decode_hyperparameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """The contract's values are strings; the SDK's script mode JSON-encodes each. What is not JSON stays the string it is."""
    return {name: _decoded(value) for name, value in values.items()}


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
