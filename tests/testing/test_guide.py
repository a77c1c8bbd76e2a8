"""The guide for users' tests: its code runs, and every name in it exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from kenja.testing import TestAccount, TestServer
from tests.conftest import ROOT

GUIDE = (ROOT / "docs" / "testing.md").read_text()


def test_code_of_the_guide_passes_as_it_stands(kenja_server: TestServer, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        (tmp_path / f"test_block_{number}.py").write_text(block)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--kenja-endpoint",
        kenja_server.endpoint,
        "-p",
        "no:cacheprovider",
        ".",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_names_of_the_guide_exist() -> None:
    names = set(re.findall(r"`kenja\.([a-z_]+)", GUIDE))
    assert {"client", "step", "hold_jobs", "role"} <= names
    assert [name for name in names if not hasattr(TestAccount, name)] == []
