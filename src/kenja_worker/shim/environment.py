"""The SM_* environment and the arguments of a script-mode job, from the configuration files. Computes only; runs nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kenja_worker.shim.config_files import DEFAULT_GROUP, DEFAULT_INTERFACE, decode_hyperparameters, read_config

_PREFIX = "sagemaker_"
_PLATFORM_HYPERPARAMETERS = (  # for the platform, never shown to the script; the rest with the prefix goes to SM_FRAMEWORK_PARAMS
    "sagemaker_program",
    "sagemaker_submit_directory",
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "sagemaker_s3_output",
    "default_user_module_name",
    "_tuning_objective_metric",
)
_DEFAULT_LOG_LEVEL = 20  # logging.INFO


@dataclass(frozen=True)
class ScriptJob:
    """All that a script's environment is made from."""

    ml: Path
    own: Mapping[str, Any]  # hyper-parameters of the script
    platform: Mapping[str, Any]  # those with the prefix
    resources: Mapping[str, Any]
    channels: Mapping[str, Any]

    @property
    def program(self) -> str:
        return str(os.environ.get("SAGEMAKER_PROGRAM") or self.platform.get("sagemaker_program") or "")

    @property
    def submit_directory(self) -> str:
        return str(self.platform.get("sagemaker_submit_directory") or self.ml / "code")


def read_job(ml: Path) -> ScriptJob:
    values = decode_hyperparameters(read_config(ml, "hyperparameters.json"))
    platform = {
        name: value for name, value in values.items() if name.startswith(_PREFIX) or name in _PLATFORM_HYPERPARAMETERS
    }
    own = {name: value for name, value in values.items() if name not in platform}
    return ScriptJob(ml, own, platform, read_config(ml, "resourceconfig.json"), read_config(ml, "inputdataconfig.json"))


def arguments(hyperparameters: Mapping[str, Any]) -> list[str]:
    """`--name value` in the order of names, `-n value` for one letter; an object becomes `a=1,b=2`."""
    words: list[str] = []
    for name in sorted(hyperparameters):
        value = hyperparameters[name]
        if isinstance(value, dict):
            text = ",".join(f"{key}={item}" for key, item in sorted(value.items()))
        else:
            text = "" if value is None else str(value)
        words += [f"--{name}" if len(name) > 1 else f"-{name}", text]
    return words


def environment(job: ScriptJob) -> dict[str, str]:
    """SM_* and SAGEMAKER_* variables, strings as they are, everything else as compact JSON with sorted keys."""
    facts = _facts(job)
    values = {name: value for name, value in facts.items() if name not in _ONLY_IN_TRAINING_ENV}
    if not values["topology"]:
        del values["topology"]
    values["hps"] = values.pop("hyperparameters")
    values["framework_params"] = values.pop("additional_framework_parameters")
    folders = values.pop("channel_input_dirs")
    values["channels"] = sorted(folders)
    values["user_args"] = arguments(job.own)
    values["training_env"] = facts
    values |= {f"channel_{name}": path for name, path in folders.items()}
    values |= {f"hp_{name}": value for name, value in job.own.items()}
    found = {f"SM_{name.upper()}": _text(value) for name, value in values.items()}
    found["SAGEMAKER_JOB_NAME"] = str(job.platform.get("sagemaker_job_name", ""))
    found["SAGEMAKER_REGION"] = str(job.platform.get("sagemaker_region") or os.environ.get("AWS_REGION", ""))
    return found


# SageMaker's own distribution libraries, which exist in its images only
_LIBRARIES_OF_AWS = {"is_modelparallel_enabled": None, "is_smddprun_installed": False, "is_smddpmprun_installed": False}
_ONLY_IN_TRAINING_ENV = {"is_master", "job_name", "master_hostname", "distribution_hosts", *_LIBRARIES_OF_AWS}


def _facts(job: ScriptJob) -> dict[str, Any]:
    ml = job.ml
    return {
        "additional_framework_parameters": {
            name: value for name, value in job.platform.items() if name not in _PLATFORM_HYPERPARAMETERS
        },
        "channel_input_dirs": {name: str(ml / "input/data" / name) for name in job.channels},
        "framework_module": os.environ.get("SAGEMAKER_TRAINING_MODULE"),
        "hyperparameters": dict(job.own),
        "input_config_dir": str(ml / "input/config"),
        "input_data_config": dict(job.channels),
        "input_dir": str(ml / "input"),
        "job_name": os.environ.get("TRAINING_JOB_NAME"),
        "log_level": job.platform.get("sagemaker_container_log_level", _DEFAULT_LOG_LEVEL),
        "model_dir": str(ml / "model"),
        "module_dir": job.submit_directory,
        "module_name": job.program.removesuffix(".py"),
        "network_interface_name": job.resources.get("network_interface_name", DEFAULT_INTERFACE),
        "num_cpus": _cores(),
        "num_gpus": _gpus(),
        "num_neurons": 0,  # no Inferentia or Trainium here
        "output_data_dir": str(ml / "output/data"),
        "output_dir": str(ml / "output"),
        "output_intermediate_dir": str(ml / "output/intermediate"),
        "resource_config": dict(job.resources),
        "topology": list(job.resources.get("topology", [])),
        "user_entry_point": job.program,
        **_LIBRARIES_OF_AWS,
        **_cluster(job),
    }


def _cluster(job: ScriptJob) -> dict[str, Any]:
    hosts = list(job.resources.get("hosts", ["algo-1"]))
    current = str(job.resources.get("current_host", hosts[0]))
    group = str(job.resources.get("current_group_name", DEFAULT_GROUP))
    instance_type = str(job.resources.get("current_instance_type", "local"))
    described = list(job.resources.get("instance_groups", []))
    by_name = {item["instance_group_name"]: item for item in described}
    distribution = list(job.platform.get("sagemaker_distribution_instance_groups", []))
    members = sorted(host for name in distribution if name in by_name for host in by_name[name]["hosts"])
    first = (members or sorted(hosts))[0]
    return {
        "hosts": hosts,
        "current_host": current,
        "current_instance_type": instance_type,
        "current_instance_group": group,
        "current_instance_group_hosts": by_name.get(group, {"hosts": hosts})["hosts"],
        "instance_groups": list(by_name) or [group],
        "instance_groups_dict": by_name,
        "distribution_instance_groups": distribution,
        "distribution_hosts": members,
        "is_hetero": len(described) > 1,
        "is_master": current == first,
        "master_hostname": first,
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> int:
    return sum(name[6:].isdigit() for name in os.listdir("/dev") if name.startswith("nvidia"))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return (
        value
        if isinstance(value, str)
        else json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    )
