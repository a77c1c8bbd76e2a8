"""Which services there are: the folders of `kenja.services`, loaded when first called. Adding one is adding a folder."""

from __future__ import annotations

import importlib
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kenja.kernel.declare import Service

_PACKAGE = "kenja.services"


@dataclass(frozen=True)
class Manifest:
    """`service.toml` of one folder: what routing needs to know before the service's model is loaded."""

    name: str  # botocore's name: "sagemaker-runtime"
    package: str  # "kenja.services.sagemaker_runtime"
    signing_name: str
    endpoint_prefix: str
    target_prefix: str  # of X-Amz-Target; empty where no JSON protocol is served
    api_version: str  # of a query request that carries no signature
    protocols: tuple[str, ...]


class Services:
    """The services of one process, by botocore's name. Thread safe."""

    def __init__(self) -> None:
        self.manifests = manifests()
        self._lock = threading.RLock()
        self._loaded: dict[str, Service] = {}

    def get(self, name: str) -> Service | None:
        """The service of this name, or None when no folder serves it."""
        found = self._loaded.get(name)
        if found is not None:
            return found
        manifest = self.manifests.get(name)
        if manifest is None:
            return None
        with self._lock:
            return self._loaded.setdefault(name, load(manifest))

    def loaded(self, name: str) -> Service | None:
        """The service if it is loaded already; never waits."""
        return self._loaded.get(name)

    def __iter__(self) -> Iterator[Service]:
        """Every service, loaded."""
        for name in self.manifests:
            service = self.get(name)
            assert service is not None
            yield service


def load(manifest: Manifest) -> Service:
    """Import a service's package and hand out what it declares."""
    service = importlib.import_module(manifest.package).service
    if not isinstance(service, Service):
        raise TypeError(f"{manifest.package} must export `service`, a kenja.kernel.declare.Service")
    return service


def load_all() -> list[Service]:
    """Every service of this installation."""
    return [load(manifest) for manifest in manifests().values()]


@cache
def manifests() -> dict[str, Manifest]:
    """The manifests of all service folders, by botocore's name."""
    root = Path(__file__).parent.parent / "services"
    found = [_manifest(path) for path in sorted(root.glob("*/service.toml"))]
    return {manifest.name: manifest for manifest in found}


def _manifest(path: Path) -> Manifest:
    table = tomllib.loads(path.read_text())
    routing = table["routing"]
    return Manifest(
        name=table["name"],
        package=f"{_PACKAGE}.{path.parent.name}",
        signing_name=routing["signing_name"],
        endpoint_prefix=routing["endpoint_prefix"],
        target_prefix=routing.get("target_prefix", ""),
        api_version=routing["api_version"],
        protocols=tuple(routing["protocols"]),
    )
