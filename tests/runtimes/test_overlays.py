"""A job's requirements.txt: what is refused, what is installed over the runtime, what is shared."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from kenja.core.errors import JobFailed
from kenja.kernel.jobs.overlays import overlay, requirement_lines
from kenja.runtimes.registry import Runtime


@pytest.mark.parametrize(
    "line",
    [
        "-r other.txt",
        "-e .",
        "--index-url https://example.invalid/simple",
        "--extra-index-url=https://example.invalid/simple",
        "six==1.17.0 --hash=sha256:abc",
        "six ; python_version > '3' --index-url x",
        "--no-binary :all:",
        "-c constraints.txt",
        ".",
        "./package",
        "../package",
        "/opt/ml/code/package",
        "package/",
        "package-1.0-py3-none-any.whl",
        "package-1.0.tar.gz",
        "package.zip",
        "six @ https://example.invalid/six.whl",
        "six@file:///etc/passwd",
        "https://example.invalid/six.whl",
        "git+https://example.invalid/six.git",
        "file:///etc/passwd",
        "${HOME}",
        "six==",
        "==1.0",
        "six; import os; @",
        "torch==2.0",
        "Torch",
        "six $(id)",
        "six`id`",
    ],
)
def test_a_line_that_is_no_plain_requirement_is_refused_by_name(line: str) -> None:
    with pytest.raises(JobFailed) as refusal:
        requirement_lines(f"humanize\n{line}\n")
    assert line in str(refusal.value)


@pytest.mark.parametrize(
    "line",
    [
        "six",
        "six==1.17.0",
        "six == 1.17.0",
        "scikit-learn>=1.5,<2",
        "pandas[excel, parquet]~=2.0",
        "numpy!=2.0.0",
        "six===1.17",
        "numpy (>=1.20)",
        "tomli>=1.1; python_version < '3.11'",
        'colorama ; sys_platform == "win32" and python_version >= "3.8"',
        "a",
        "zope.interface==6.*",
    ],
)
def test_a_plain_requirement_is_taken(line: str) -> None:
    assert requirement_lines(line) == (line,)


def test_comments_blank_lines_order_and_continuations_do_not_matter() -> None:
    text = "\ufeff# first\r\nsix==1.17.0  # why\r\n\r\nhumanize>=4,\\\n<5\n"
    assert requirement_lines(text) == requirement_lines("humanize>=4, <5\nsix==1.17.0\n")


def test_hostile_text_is_answered_at_once() -> None:
    started = time.monotonic()
    for text in ("a" * 60_000 + "@", "a" + " " * 60_000 + "@", "a[" + "b," * 30_000, "a" + ">=1," * 15_000 + "@", "\0"):
        with pytest.raises(JobFailed):
            requirement_lines(text)
    assert time.monotonic() - started < 2.0


def test_a_huge_file_is_refused() -> None:
    with pytest.raises(JobFailed, match=r"65536 bytes"):
        requirement_lines("six\n" * 20_000)


def run(python: Path, program: str) -> str:
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_an_overlay_adds_to_the_runtime_and_goes_before_it(
    tmp_path: Path, small_runtime: Runtime, runtimes_root: Path
) -> None:
    made = overlay(small_runtime, runtimes_root, tmp_path, "six==1.16.0\niniconfig\n")
    assert made.packages[1:] == ("six==1.16.0",)
    assert made.packages[0].startswith("iniconfig==")
    assert run(made.python, "import six, iniconfig; print(six.__version__)") == "1.16.0"
    assert run(small_runtime.python(runtimes_root), "import six; print(six.__version__)") == "1.17.0"


def test_an_overlay_sees_what_the_runtime_has(tmp_path: Path, small_runtime: Runtime, runtimes_root: Path) -> None:
    made = overlay(small_runtime, runtimes_root, tmp_path, "iniconfig")
    seen = run(made.python, "import six, iniconfig; print(six.__version__, six.__file__)")
    assert seen.startswith("1.17.0 ")
    assert str(small_runtime.location(runtimes_root)) in seen


@pytest.mark.parametrize("requirements", ["", "# nothing\n", "six", "six>=1.10"])
def test_what_the_runtime_has_already_needs_no_overlay(
    tmp_path: Path, small_runtime: Runtime, runtimes_root: Path, requirements: str
) -> None:
    made = overlay(small_runtime, runtimes_root, tmp_path, requirements)
    assert made.packages == ()
    assert made.python == small_runtime.python(runtimes_root)


def test_the_same_requirements_share_one_overlay(tmp_path: Path, small_runtime: Runtime, runtimes_root: Path) -> None:
    first = overlay(small_runtime, runtimes_root, tmp_path, "iniconfig\nsix==1.16.0\n")
    place = first.location.stat().st_ino
    second = overlay(small_runtime, runtimes_root, tmp_path, "six == 1.16.0".replace(" ", "") + "\n# same\niniconfig")
    assert second == first
    assert second.location.stat().st_ino == place


@pytest.mark.parametrize("requirements", ["six==0.0.99", "six==1.16.0\nsix==1.17.0"])
def test_requirements_that_cannot_be_met_fail_with_the_installers_words(
    tmp_path: Path, small_runtime: Runtime, runtimes_root: Path, requirements: str
) -> None:
    with pytest.raises(JobFailed, match=r"requirements.txt could not be installed(.|\n)*six"):
        overlay(small_runtime, runtimes_root, tmp_path, requirements)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
