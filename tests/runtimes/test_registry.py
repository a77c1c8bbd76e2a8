"""What every declared runtime must have."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kenja.runtimes import all_runtimes, runtime, worker_path
from kenja.runtimes.registry import Runtime, pins

PINNED = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( ;.*)?")


@pytest.mark.parametrize("name", all_runtimes())
def test_every_requirement_is_pinned_and_names_no_address(name: str) -> None:
    lines = runtime(name).requirements.read_text().splitlines()
    assert lines
    for line in lines:
        assert PINNED.fullmatch(line), line


@pytest.mark.parametrize("name", all_runtimes())
def test_the_pins_hold_everything_that_the_recipe_asks_for(name: str) -> None:
    asked = [
        re.split(r"[=<>~!\[ ]", line)[0] for line in runtime(name).requirements.with_suffix(".in").read_text().split()
    ]
    assert asked
    for library in asked:
        assert runtime(name).pinned(library)


@pytest.mark.parametrize("name", all_runtimes())
def test_preloading_leaves_one_thread(name: str) -> None:
    """In this environment, which has the same pins; the zygote holds BLAS back in the same way."""
    program = (
        "import sys; from kenja_worker.shim.zygote import preload; preload(sys.argv[1].split(','));"
        "import os; print(len(os.listdir('/proc/self/task')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, ",".join(runtime(name).preload)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"


def test_the_tabular_runtime_has_the_releases_of_the_main_environment() -> None:
    main = pins((Path(__file__).parents[2] / "requirements" / "dev.txt").read_text())
    for library in ("xgboost-cpu", "scikit-learn", "pandas", "numpy", "scipy"):
        assert runtime("tabular").pinned(library) == main[library]


def test_a_changed_recipe_is_another_place(tmp_path: Path, small_runtime: Runtime) -> None:
    changed = tmp_path / "requirements.txt"
    changed.write_text("six==1.16.0\n")
    assert replace(small_runtime, requirements=changed).location(tmp_path) != small_runtime.location(tmp_path)


def test_an_unknown_runtime_is_told_what_there_is() -> None:
    with pytest.raises(KeyError, match=r"nothing.*tabular"):
        runtime("nothing")


def test_a_job_can_read_its_environment_its_interpreter_and_the_worker(tmp_path: Path) -> None:
    readable = runtime("tabular").readable(tmp_path)
    assert runtime("tabular").location(tmp_path) in readable
    assert any(Path(sys.executable).resolve().is_relative_to(folder) for folder in readable)
    assert worker_path() / "kenja_worker" in readable
    assert not any((worker_path() / "kenja").is_relative_to(folder) for folder in readable)
