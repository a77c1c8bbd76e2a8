"""AWS's service models from botocore's data files, with our patches applied. No behaviour: what they mean is read elsewhere."""

from __future__ import annotations

import gzip
import re
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from botocore.loaders import Loader
from botocore.model import ServiceModel

PATCHES = Path(__file__).with_name("patches")
DATA = Path(Loader.BUILTIN_DATA_PATH)

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


@cache
def load(name: str) -> ServiceModel:
    """The model of a service by botocore's name; raises LookupError for one that botocore does not know."""
    description = document(name, "service-2")
    patch = PATCHES / f"{name}.json"
    if patch.is_file():
        description = merge(description, orjson.loads(patch.read_bytes()))
    give_faults_a_status(description)
    return ServiceModel(description, name)


def document(name: str, kind: str) -> dict[str, Any]:
    """One of a service's data files (`service-2`, `paginators-1`, `waiters-2`), `{}` where it has none but the service exists."""
    folder = DATA / name
    if not _NAME.fullmatch(name) or not folder.is_dir():
        raise LookupError(f"No AWS service is called '{name}' in botocore; its names are the folders of {DATA}.")
    version = max(entry for entry in folder.iterdir() if entry.is_dir())
    found = _read(version / f"{kind}.json")
    extras = _read(version / f"{kind}.sdk-extras.json")
    return merge(found, extras["merge"]) if "merge" in extras else found


def merge(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """JSON merge patch (RFC 7386): null removes, objects merge, everything else replaces. Changes `target`."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            held = target.get(key)
            target[key] = merge(held if isinstance(held, dict) else {}, value)
        else:
            target[key] = value
    return target


def _read(path: Path) -> dict[str, Any]:
    packed = path.with_name(path.name + ".gz")
    if packed.is_file():
        content = gzip.decompress(packed.read_bytes())
    elif path.is_file():
        content = path.read_bytes()
    else:
        return {}
    found: dict[str, Any] = orjson.loads(content)
    return found


def give_faults_a_status(description: dict[str, Any]) -> None:
    """`fault` marks an error as the service's own; botocore's shapes do not show it, so it becomes status 500."""
    for shape in description["shapes"].values():
        if shape.get("fault"):
            shape.setdefault("error", {}).setdefault("httpStatusCode", 500)
