"""The table of times at the end of a test run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.timing import suite

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/wire/test_a.py::test_x", "wire"),
        ("tests/services/s3/test_a.py::test_x[a/b]", "services/s3"),
        ("tests/services/s3/deep/test_a.py::test_x", "services/s3"),
        ("tests/test_a.py::test_x", "(top)"),
    ],
)
def test_a_suite_is_a_folder(nodeid: str, expected: str) -> None:
    assert suite(nodeid) == expected


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_prints_the_time_of_each_suite(workers: str) -> None:
    command = [sys.executable, "-m", "pytest", "-n", workers, "tests/tools/test_timing.py", "-k", "suite_is_a_folder"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "4 tests  tools" in done.stdout
    assert done.stdout.strip().splitlines()[-1].startswith("4 passed")
