"""Test data of botocore's source package (Apache-2.0), fetched through pip once per release and kept outside the repository.

pip builds a source package's metadata to download it, so it runs in an environment of its own that has what a build needs.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import botocore
import sdk_env

from kenja.runtimes.uv import BuildFailed

CACHE = sdk_env.REPOSITORY / ".cache" / "botocore-source"
KEPT = "tests/unit/"  # of the package: protocol suites, signature cases; 17 MB packed, mostly models that are installed anyway
TIMEOUT = 180  # seconds for pip


class Unavailable(Exception):  # noqa: N818 - what the package is
    """The source package is not there and can not be had; the message says why."""


def folder(name: str) -> Path:
    """A folder under the package's tests/unit, e.g. "protocols". Raises Unavailable, offline for example."""
    kept = CACHE / botocore.__version__
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".") as scratch:
            unpacked = _unpack(_download(Path(scratch)), Path(scratch) / "unpacked")
            try:
                unpacked.rename(kept)
            except OSError:
                if not kept.is_dir():  # else another test process was faster
                    raise
    return kept / name


def _download(scratch: Path) -> Path:
    try:
        python = sdk_env.environment("botocore-source")
    except BuildFailed as problem:
        raise Unavailable(f"the environment that fetches botocore's source can not be built: {problem}") from None
    wanted = f"botocore=={botocore.__version__}"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-binary", "botocore", "--dest", str(scratch)]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    words = [str(python), "-m", "pip", "download", *options, wanted]
    try:
        done = subprocess.run(words, env=environment, cwd=scratch, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"pip did not fetch the source of {wanted} within {TIMEOUT} s") from None
    found = sorted(scratch.glob("*.tar.gz"))
    if done.returncode or not found:
        raise Unavailable(f"pip could not fetch the source of {wanted}: {done.stderr.strip()[-500:]}")
    return found[0]


def _unpack(archive: Path, target: Path) -> Path:
    with tarfile.open(archive) as tar:
        root = tar.getnames()[0].split("/")[0]
        prefix = f"{root}/{KEPT}"
        for member in tar:
            if member.isfile() and member.name.startswith(prefix) and member.name.endswith(SUFFIXES):
                member.name = member.name.removeprefix(prefix)
                tar.extract(member, target, filter="data")
    return target


SUFFIXES = (".json", ".req", ".creq", ".sts", ".authz", ".sreq", ".txt")  # data, no code
