"""A runtime of one small package, so that building is real and quick."""

from __future__ import annotations

from pathlib import Path

import pytest

from kenja.runtimes.build import build
from kenja.runtimes.registry import Runtime


@pytest.fixture(scope="session")
def small_runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    requirements = tmp_path_factory.mktemp("recipe") / "requirements.txt"
    requirements.write_text("six==1.17.0\n")
    return Runtime("small", "one small package", requirements, preload=("six",))


@pytest.fixture(scope="session")
def runtimes_root(tmp_path_factory: pytest.TempPathFactory, small_runtime: Runtime) -> Path:
    """A runtimes root in which the small runtime is built."""
    root = tmp_path_factory.mktemp("runtimes")
    build(small_runtime, root)
    return root
