"""What holds for the repository's own files."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from kenja.runtimes.registry import pins

REPOSITORY = Path(__file__).parents[2]
REQUIREMENTS = sorted(REPOSITORY.glob("requirements/*.txt")) + sorted(
    REPOSITORY.glob("src/kenja/runtimes/*/requirements.txt")
)


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_requirements_are_pins_without_addresses_and_hashes(path: Path) -> None:
    text = path.read_text()
    assert pins(text)
    assert "://" not in text
    assert "--" not in text
    assert all("==" in line for line in text.splitlines())


def test_every_set_of_the_main_environment_has_the_same_releases() -> None:
    core, demo, dev = (pins((REPOSITORY / f"requirements/{name}.txt").read_text()) for name in ("core", "demo", "dev"))
    assert core.items() <= demo.items() <= dev.items()


def test_a_second_set_up_takes_less_than_a_second() -> None:
    script = REPOSITORY / "tools" / "setup.sh"
    environment = {**os.environ, "KENJA_RUNTIMES": str(REPOSITORY / ".runtimes")}
    subprocess.run([script], env=environment, check=True, capture_output=True)
    done = subprocess.run([script], env=environment, check=True, capture_output=True, text=True, timeout=1)
    assert done.stdout == ""


def test_every_target_of_the_makefile_is_described_and_calls_what_exists() -> None:
    text = (REPOSITORY / "Makefile").read_text()
    phony = set(re.search(r"\.PHONY: (.*)", text)[1].split())  # type: ignore[index]
    described = set(re.findall(r"^([a-z0-9-]+):.*## ", text, re.MULTILINE))
    assert phony == described
    for script in re.findall(r"\b(?:tools|bench)/\w+\.(?:sh|py)", text):
        assert (REPOSITORY / script).is_file(), script


def test_a_target_that_comes_later_says_so_and_fails() -> None:
    done = subprocess.run(["make", "ui"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "does not exist yet" in done.stderr


@pytest.mark.parametrize(
    "path", [*REPOSITORY.glob("tools/*.sh"), REPOSITORY / ".ci" / "run"], ids=lambda path: path.name
)
def test_shell_scripts_parse_and_can_be_run(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)
    assert os.access(path, os.X_OK)


def test_the_licence_is_whole() -> None:
    text = (REPOSITORY / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "not affiliated with" in (REPOSITORY / "NOTICE").read_text()


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_between_the_documents_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (REPOSITORY / name).read_text()):
        assert (REPOSITORY / target).exists(), target
