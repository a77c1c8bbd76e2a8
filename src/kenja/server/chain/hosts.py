"""AWS's host names, as botocore's own data spells them: which service and region one means. Nothing is resolved or reached."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from json import JSONDecoder
from typing import Any

import orjson

from kenja.kernel.services import Manifest
from kenja.wire import models

METADATA = frozenset({"169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254"})
# EC2 User Guide, "Access instance metadata"; ECS and EKS guides, credentials of tasks and pods
_LONGEST = 253  # characters of a host name; RFC 1035
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_HEAD = 4096  # packed bytes of a model that are read for its metadata, which comes first


@dataclass(frozen=True, slots=True)
class AwsHost:
    """A host below one of AWS's suffixes."""

    name: str  # in lower case, without a port
    labels: tuple[str, ...]  # what stands before the suffix, without region and words like "dualstack"
    region: str  # "" for a global host


@dataclass(frozen=True, slots=True)
class Addressed:
    """The served service that a host means. `before` is what stands before its name: S3's bucket, a host prefix, or ""."""

    manifest: Manifest
    region: str
    before: str


@lru_cache(maxsize=1024)
def parse(host: str) -> AwsHost | None:
    """What a Host header or an authority names; None for hosts that are not AWS's, and for no names at all."""
    name = bare(host)
    suffix = next((end for end in _suffixes() if name.endswith(end)), None)
    if suffix is None or len(name) > _LONGEST:
        return None
    labels = name[: -len(suffix)].split(".")
    if not all(map(_LABEL.fullmatch, name.split("."))):
        return None
    region = ""
    if _is_region(labels[-1]):
        region = labels.pop()
    elif len(labels) == 2 and _is_region(labels[0]):  # us-west-2.queue.amazonaws.com
        region = labels.pop(0)
    elif dashed := _dashed(labels[-1]):  # s3-us-west-2.amazonaws.com
        labels[-1], region = dashed
    if len(labels) > 1 and labels[-1] in _words():
        labels.pop()
    return AwsHost(name, tuple(labels), region)


def bare(host: str) -> str:
    """A host in lower case without its port, brackets and last dot."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].rstrip(".")


def served(host: AwsHost, manifests: Mapping[str, Manifest]) -> Addressed | None:
    """The service that a host means, or None when no folder serves it."""
    for manifest in manifests.values():
        before = _before(host.labels, _names(manifest.endpoint_prefix))
        if before is not None and (not before or _may_stand_before(manifest.name, before)):
            return Addressed(manifest, host.region, before)
    return None


def known(host: AwsHost) -> Mapping[str, Any]:
    """The metadata of botocore's model for a host, served or not; {} for one that no model names."""
    found: dict[str, Mapping[str, Any]] = {}
    for prefix, entry in _metadata():
        if (before := _before(host.labels, _names(prefix))) is not None:
            found.setdefault(before, entry)
    return found[min(found, key=len)] if found else {}  # the least that stands before it, best nothing


def signing(name: str) -> Mapping[str, Any]:
    """The metadata of the first model that signs with this name; {} when none does."""
    found = (entry for _, entry in _metadata() if entry.get("signingName", entry["endpointPrefix"]) == name)
    return next(found, {})


def metadata(service: str) -> Mapping[str, Any]:
    """The metadata of a model by botocore's name; {} when there is none."""
    return next((entry for _, entry in _metadata() if entry["name"] == service), {})


def takes_bearer(entry: Mapping[str, Any]) -> bool:
    """Whether a model's metadata lists bearer tokens among its authentication."""
    return "smithy.api#httpBearerAuth" in entry.get("auth", ()) or entry.get("signatureVersion") == "bearer"


def bearer_services() -> dict[str, Mapping[str, Any]]:
    """The metadata of every model that lists bearer tokens, by botocore's name of the service."""
    return {entry["name"]: entry for _, entry in _metadata() if takes_bearer(entry)}


def _before(labels: tuple[str, ...], names: tuple[tuple[str, ...], ...]) -> str | None:
    """What stands before one of a service's names in a host; None when the host is another service's."""
    for name in names:
        tail = labels[-len(name) :]
        plain = tuple(label.removesuffix("-fips") for label in tail)
        ahead = labels[: -len(name)]
        if plain == name:
            return "" if ahead == ("fips",) else ".".join(ahead)
        if len(tail) == len(name) and plain[1:] == name[1:] and plain[0].endswith(f"-{name[0]}") and not ahead:
            return plain[0].removesuffix(name[0])
    return None


@lru_cache(maxsize=1024)
def _may_stand_before(service: str, before: str) -> bool:
    """Whether the service's model puts this before its host: S3 a bucket, others their operations' host prefixes."""
    if service == "s3":
        return True
    model = models.load(service)
    given = f"{before}." if not before.endswith("-") else before
    prefixes = {
        operation.endpoint["hostPrefix"] for operation in map(model.operation_model, model.operation_names)
        if operation.endpoint
    }  # fmt: skip
    return any(re.fullmatch(re.sub(r"\\\{\w+\\\}", ".+", re.escape(prefix)), given) for prefix in prefixes)


@cache
def _names(endpoint_prefix: str) -> tuple[tuple[str, ...], ...]:
    """The labels under which a service answers: its endpoint prefix and the older name that botocore still knows."""
    older = [name for name, prefix in _older_names().items() if prefix == endpoint_prefix]
    return tuple(tuple(name.split(".")) for name in (endpoint_prefix, *older))


@cache
def _older_names() -> dict[str, str]:
    """Names such as `queue` (for `sqs`), which some clients still use: botocore's sslCommonName."""
    table = orjson.loads((models.DATA / "endpoints.json").read_bytes())
    found: dict[str, str] = {}
    for partition in table["partitions"]:
        for service, entry in partition["services"].items():
            for place in (entry.get("defaults", {}), *entry.get("endpoints", {}).values()):
                pattern = place.get("sslCommonName", "").removeprefix("{region}.")
                name, _, suffix = pattern.partition(".")
                if suffix == "{dnsSuffix}" and "{" not in name and name != service:
                    found[name] = service
    return found


@cache
def _partitions() -> list[dict[str, Any]]:
    table = orjson.loads((models.DATA / "partitions.json").read_bytes())
    found: list[dict[str, Any]] = table["partitions"]
    return found


@cache
def _suffixes() -> tuple[str, ...]:
    """The suffixes of all partitions with their dot, longest first: `.amazonaws.com.cn` before `.amazonaws.com`."""
    outputs = [partition["outputs"] for partition in _partitions()]
    names = {entry[key] for entry in outputs for key in ("dnsSuffix", "dualStackDnsSuffix")}
    return tuple(sorted((f".{name}" for name in names), key=len, reverse=True))


def suffixes() -> tuple[str, ...]:
    """AWS's suffixes without a dot, as certificates name them."""
    return tuple(suffix[1:] for suffix in _suffixes())


@cache
def _words() -> frozenset[str]:
    """Labels in a region's place that name none: s3.dualstack.REGION…, iam.global.api.aws, iam.us-gov.amazonaws.com."""
    return frozenset({"dualstack", "global", *(entry["id"].removeprefix("aws-") for entry in _partitions())})


@cache
def _regions() -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(partition["regionRegex"]) for partition in _partitions())


def _is_region(label: str) -> bool:
    return any(pattern.fullmatch(label) for pattern in _regions())


def _dashed(label: str) -> tuple[str, str] | None:
    parts = label.split("-")
    for place in range(1, len(parts)):
        if _is_region("-".join(parts[place:])):
            return "-".join(parts[:place]), "-".join(parts[place:])
    return None


@cache
def _metadata() -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """(endpoint prefix, metadata) of every model in botocore; about 0.1 s, so only for what is not served."""
    return tuple(_read_metadata())


def _read_metadata() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for folder in sorted(entry for entry in models.DATA.iterdir() if entry.is_dir()):
        path = max(entry for entry in folder.iterdir() if entry.is_dir()) / "service-2.json.gz"
        with path.open("rb") as file:
            text = zlib.decompressobj(31).decompress(file.read(_HEAD), 2 * _HEAD).decode(errors="ignore")
        start = text.index("{", text.index('"metadata"'))
        entry, _ = JSONDecoder().raw_decode(text, start)
        yield entry["endpointPrefix"], {**entry, "name": folder.name}
