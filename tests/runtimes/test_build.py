"""Building is real, whole or not at all, and safe beside another builder and after one that died."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from kenja.runtimes.build import build
from kenja.runtimes.registry import Runtime
from kenja.runtimes.uv import BuildFailed


def version_of_six(python: Path) -> str:
    return subprocess.run(
        [python, "-c", "import six; print(six.__version__)"], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_built_runtime_has_what_its_recipe_pins(small_runtime: Runtime, runtimes_root: Path) -> None:
    assert small_runtime.is_built(runtimes_root)
    assert version_of_six(small_runtime.python(runtimes_root)) == "1.17.0"


def test_a_built_runtime_is_readable_by_every_user_and_compiled(small_runtime: Runtime, runtimes_root: Path) -> None:
    place = small_runtime.location(runtimes_root)
    for path in (place, *place.rglob("*")):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o004, path
            assert not path.is_dir() or path.stat().st_mode & 0o001, path
    assert list(place.rglob("__pycache__/six.*.pyc"))


def test_building_again_changes_nothing(small_runtime: Runtime, runtimes_root: Path) -> None:
    before = small_runtime.location(runtimes_root).stat().st_ino
    build(small_runtime, runtimes_root)
    assert small_runtime.location(runtimes_root).stat().st_ino == before


def test_two_builders_at_once_make_one_whole_runtime(tmp_path: Path, small_runtime: Runtime) -> None:
    with ThreadPoolExecutor(2) as pool:
        places = set(pool.map(lambda _: build(small_runtime, tmp_path), range(2)))
    assert places == {small_runtime.location(tmp_path)}
    assert version_of_six(small_runtime.python(tmp_path)) == "1.17.0"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [small_runtime.location(tmp_path).name]


def test_what_a_killed_builder_left_is_swept_and_built_anew(tmp_path: Path, small_runtime: Runtime) -> None:
    place = small_runtime.location(tmp_path)
    (place / "bin").mkdir(parents=True)
    left = tmp_path / f".{place.name}-abc"
    (left / "lib").mkdir(parents=True)
    assert not small_runtime.is_built(tmp_path)
    build(small_runtime, tmp_path)
    assert version_of_six(small_runtime.python(tmp_path)) == "1.17.0"
    assert not left.exists()


def test_a_recipe_that_cannot_be_met_leaves_nothing_behind(tmp_path: Path, small_runtime: Runtime) -> None:
    recipe = tmp_path / "requirements.txt"
    recipe.write_text("six==0.0.99\n")
    root = tmp_path / "root"
    with pytest.raises(BuildFailed, match=r"six"):
        build(replace(small_runtime, requirements=recipe), root)
    assert not [path for path in root.iterdir() if path.is_dir()]


def test_an_unknown_name_is_refused_by_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kenja.runtimes.build", "nothing", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "tabular" in done.stderr
