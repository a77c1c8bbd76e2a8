"""A job's spec.json as frozen dataclasses, checked on reading. What the platform writes and the shim obeys; no AWS names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSION = 1
KINDS = ("training", "server")
NETWORKS = ("host", "none")
RUNGS = ("auto", "warm", "namespaces", "bubblewrap", "unshare", "none")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_CHANNEL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62})")
_ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}")


class SpecError(ValueError):
    """spec.json says something that the shim cannot obey; the message names the member, the value and what is allowed."""


@dataclass(frozen=True)
class Input:
    source: str  # a file or folder of the host
    target: str  # where the job sees it, read-only


@dataclass(frozen=True)
class Pipe:
    channel: str
    plan: str  # a file of the host: what each epoch delivers, see feeder.Plan


@dataclass(frozen=True)
class Metric:
    name: str
    regex: str


@dataclass(frozen=True)
class Limits:
    memory_bytes: int = 0  # 0: none, for all three
    cpus: float = 0.0
    pids: int = 0


@dataclass(frozen=True)
class Spec:
    id: str
    name: str
    kind: str
    python: str
    module: str
    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    readable: tuple[str, ...] = ()
    working_directory: str = "/opt/ml"
    inputs: tuple[Input, ...] = ()
    pipes: tuple[Pipe, ...] = ()
    network: str = "host"
    hosts: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    timeout_seconds: float = 0.0  # 0: none
    grace_seconds: float = 120.0
    log_segment: str = ""
    metrics: tuple[Metric, ...] = ()
    rung: str = "auto"
    devices: tuple[str, ...] = ()  # nodes of /dev beyond the usual ones, e.g. /dev/nvidia0
    uid: int | None = None  # the job's user where the shim is root; chosen by the shim if absent
    gid: int | None = None


def read_spec(path: Path) -> Spec:
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise SpecError(f"{path} is not JSON: {error}") from error
    return parse_spec(document)


def parse_spec(document: object) -> Spec:
    if not isinstance(document, dict):
        raise SpecError(f"The spec must be a JSON object; it is {type(document).__name__}.")
    values: dict[str, Any] = dict(document)
    if values.pop("version", None) != VERSION:
        raise SpecError(f"version is {document.get('version')!r}; this shim knows {VERSION}.")
    unknown = sorted(set(values) - set(Spec.__dataclass_fields__))
    if unknown:
        raise SpecError(f"Unknown members {unknown}; allowed are {sorted(Spec.__dataclass_fields__)}.")
    missing = [name for name in ("id", "name", "kind", "python", "module", "log_segment") if not values.get(name)]
    if missing:
        raise SpecError(f"Members {missing} are missing or empty.")
    values["inputs"] = tuple(_build(Input, item, "inputs") for item in _list(values, "inputs"))
    values["pipes"] = tuple(_build(Pipe, item, "pipes") for item in _list(values, "pipes"))
    values["metrics"] = tuple(_build(Metric, item, "metrics") for item in _list(values, "metrics"))
    values["limits"] = _build(Limits, values.get("limits", {}), "limits")
    for name in ("argv", "readable", "devices"):
        values[name] = tuple(_text(item, name) for item in _list(values, name))
    for name in ("env", "hosts"):
        values[name] = _texts(values.get(name, {}), name)
    spec = Spec(**values)
    _check(spec)
    return spec


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    value = values.get(name, [])
    if not isinstance(value, list):
        raise SpecError(f"{name} must be a list; it is {value!r}.")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise SpecError(f"{name} must hold strings without NUL; one is {value!r}.")
    return value


def _texts(value: object, name: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise SpecError(f"{name} must be an object of strings; it is {value!r}.")
    return {_text(key, name): _text(item, name) for key, item in value.items()}


def _build(kind: type[Any], item: object, name: str) -> Any:
    if not isinstance(item, dict) or set(item) - set(kind.__dataclass_fields__):
        raise SpecError(f"{name} must hold objects with {sorted(kind.__dataclass_fields__)}; one is {item!r}.")
    try:
        return kind(**item)
    except TypeError as error:
        raise SpecError(f"{name}: {item!r} is incomplete: {error}.") from error


def _check(spec: Spec) -> None:
    for name, allowed in (("kind", KINDS), ("network", NETWORKS), ("rung", RUNGS)):
        if getattr(spec, name) not in allowed:
            raise SpecError(f"{name} is {getattr(spec, name)!r}; allowed are {list(allowed)}.")
    if not _MODULE.fullmatch(spec.module):
        raise SpecError(f"module is {spec.module!r}; it must be a dotted Python module name.")
    if any(not key or "=" in key for key in spec.env):
        raise SpecError("env has an empty name or one with '='.")
    if spec.uid == 0 or spec.gid == 0:
        raise SpecError("uid and gid must not be 0: a job never runs as root.")
    for host, address in spec.hosts.items():
        if not _HOST_NAME.fullmatch(host) or not _ADDRESS.fullmatch(address):
            raise SpecError(f"hosts has {host!r}: {address!r}; a host name and an IP address are needed.")
    _check_paths(spec)
    _check_numbers(spec)


def _check_paths(spec: Spec) -> None:
    paths = [("python", spec.python), ("working_directory", spec.working_directory), ("log_segment", spec.log_segment)]
    paths += [("readable", path) for path in spec.readable] + [("devices", path) for path in spec.devices]
    for item in spec.inputs:
        paths += [("inputs source", item.source), ("inputs target", item.target)]
    for pipe in spec.pipes:
        paths.append(("pipes plan", pipe.plan))
        if not isinstance(pipe.channel, str) or not _CHANNEL.fullmatch(pipe.channel):
            raise SpecError(f"pipes has the channel {pipe.channel!r}; a name of letters, digits and ._- is needed.")
    for name, path in paths:
        if not isinstance(path, str) or not path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise SpecError(f"{name} is {path!r}; it must be an absolute path without '..'.")


def _check_numbers(spec: Spec) -> None:
    numbers = {"timeout_seconds": spec.timeout_seconds, "grace_seconds": spec.grace_seconds}
    numbers |= {f"limits.{name}": getattr(spec.limits, name) for name in Limits.__dataclass_fields__}
    for name, value in numbers.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 2**63:
            raise SpecError(f"{name} is {value!r}; it must be a number from 0 on.")
