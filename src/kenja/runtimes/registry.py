"""Runtimes as they are declared: one folder each, with runtime.toml and pinned requirements. Building them is build.py's work."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
BUILT = "built.json"  # written into a runtime's folder before it gets its final name: what it was built from


@dataclass(frozen=True)
class Runtime:
    """One environment. Its place below the runtimes root bears a hash of its recipe, so a changed recipe is another place."""

    name: str
    description: str
    requirements: Path
    preload: tuple[str, ...]  # modules that a warm zygote imports

    @property
    def key(self) -> str:
        """Twelve hex digits that change with the recipe, the interpreter and the kind of machine."""
        parts = (
            self.requirements.read_text(),
            platform.python_version(),
            sys.base_prefix,
            platform.machine(),
            sys.platform,
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    def location(self, root: Path) -> Path:
        """The runtime's virtual environment, built or not."""
        return root / f"{self.name}-{self.key}"

    def python(self, root: Path) -> Path:
        """The interpreter that a job of this runtime runs on."""
        return self.location(root) / "bin" / "python"

    def is_built(self, root: Path) -> bool:
        """Whether the runtime can be used now."""
        return (self.location(root) / BUILT).is_file()

    def readable(self, root: Path) -> tuple[Path, ...]:
        """The directories that a job must be able to read, at the same path: environment, base interpreter, kenja_worker."""
        return (self.location(root), Path(sys.base_prefix).resolve(), worker_path() / "kenja_worker")

    def pinned(self, library: str) -> str:
        """The version of a library that the recipe pins. Raises KeyError for one that it does not have."""
        return pins(self.requirements.read_text())[library]


def pins(requirements: str) -> dict[str, str]:
    """Name (normalised) to version of every `name==version` line."""
    lines = (line.partition("#")[0].partition(";")[0].strip() for line in requirements.splitlines())
    pairs = (line.partition("==") for line in lines if "==" in line)
    return {normalised(name): version.strip() for name, _, version in pairs}


def normalised(name: str) -> str:
    """A distribution's name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def worker_path() -> Path:
    """The directory to put on PYTHONPATH so that any interpreter finds kenja_worker."""
    found = importlib.util.find_spec("kenja_worker")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("kenja_worker is not importable; install the kenja distribution again")
    return Path(found.submodule_search_locations[0]).resolve().parent


@cache
def all_runtimes() -> Mapping[str, Runtime]:
    """Every runtime by name."""
    return {folder.parent.name: _read(folder.parent) for folder in sorted(FOLDER.glob("*/runtime.toml"))}


def runtime(name: str) -> Runtime:
    """The runtime of that name. Raises KeyError with the names that exist."""
    if name not in all_runtimes():
        raise KeyError(f"no runtime {name!r}; there are: {', '.join(all_runtimes())}")
    return all_runtimes()[name]


def _read(folder: Path) -> Runtime:
    recipe = tomllib.loads((folder / "runtime.toml").read_text())
    return Runtime(
        name=folder.name,
        description=recipe["description"],
        requirements=folder / "requirements.txt",
        preload=tuple(recipe["preload"]),
    )
