"""`kenja doctor`: what it finds follows the machine and the settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kenja.cli import doctor
from kenja.core.config import Config
from kenja.runtimes.build import build
from kenja.runtimes.registry import all_runtimes


def finding(config: Config, topic: str) -> doctor.Finding:
    return next(found for found in doctor.report(config) if found.topic == topic)


def test_a_runtime_that_is_not_built_is_missing_and_the_remedy_is_named(tmp_path: Path) -> None:
    found = finding(Config(data=tmp_path, runtimes=tmp_path / "empty"), "runtime tabular")
    assert found.state == "missing"
    assert found.remedy == "kenja runtimes build tabular"


def test_a_built_runtime_is_found() -> None:
    root = Path(os.environ.get("KENJA_RUNTIMES", Path(__file__).parents[2] / ".runtimes"))
    build(all_runtimes()["tabular"], root)
    assert finding(Config(data=root, runtimes=root), "runtime tabular").state == "ok"


def test_without_isolation_it_says_that_the_data_folder_is_readable(tmp_path: Path) -> None:
    found = finding(Config(data=tmp_path, runtimes=tmp_path, rung="none"), "isolation")
    assert found.state == "limited"
    assert "CAN READ the data folder" in found.text
    assert str(tmp_path) in found.text


def test_a_missing_uv_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert finding(Config(data=tmp_path, runtimes=tmp_path), "uv").state == "missing"


def test_a_data_folder_that_does_not_exist_yet_is_measured_by_its_parent(tmp_path: Path) -> None:
    found = finding(Config(data=tmp_path / "not" / "yet", runtimes=tmp_path), "disk")
    assert "GiB free" in found.text
    assert not (tmp_path / "not").exists()


def test_the_command_prints_every_finding_and_fails_when_something_is_missing(tmp_path: Path) -> None:
    environment = {**os.environ, "KENJA_RUNTIMES": str(tmp_path / "empty"), "KENJA_DATA": str(tmp_path)}
    done = subprocess.run(
        [Path(sys.executable).parent / "kenja", "doctor"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    for topic in ("rung none", "isolation", "limits", "runtime tabular", "memory", "disk"):
        assert topic in done.stdout
    assert "kenja runtimes build tabular" in done.stdout
