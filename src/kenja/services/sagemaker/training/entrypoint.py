"""ContainerEntrypoint and ContainerArguments: a job's own command, with a Python and channels that it may write to. Runs nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kenja.kernel.jobs import overlays
from kenja.kernel.jobs.driver import Job
from kenja.runtimes import ImageMatch

COPIED = 64 * 1024**2  # bytes of one channel up to which the command gets a copy that it may change, as in a container
_CHANNELS = Path("/opt/ml/input/data")
_PYTHON = (
    "/run/kenja/python"  # where the command sees its Python, so that `pip install` works without touching the runtime
)
_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def words(body: Mapping[str, Any]) -> list[str]:
    """The whole command; empty for a job that leaves it to the image."""
    specification = body["AlgorithmSpecification"]
    entry = specification.get("ContainerEntrypoint", [])
    return [*entry, *specification.get("ContainerArguments", [])] if entry else []


def program(job: Job, match: ImageMatch, root: Path, command: list[str]) -> dict[str, Any]:
    """What the shim's spec says of the command; makes its Python."""
    overlays.writable(match.runtime, root, job.folder / "run" / "python")
    return {
        "python": str(match.runtime.python(root)),
        "module": "kenja_worker.shim.entry",
        "argv": command,
    }


def variables(match: ImageMatch, root: Path) -> dict[str, str]:
    """Its own Python comes first, then the runtime's commands."""
    return {"PATH": f"{_PYTHON}/bin:{match.runtime.python(root).parent}:{_SYSTEM}"}


def loosen(job: Job, inputs: list[dict[str, str]]) -> tuple[list[dict[str, str]], list[str]]:
    """Turn small channels into copies below /opt/ml; the inputs that stay mounted read-only, with a remark on each channel of them."""
    kept, remarks = [], []
    for item in inputs:
        channel = Path(item["target"])
        if channel.parent != _CHANNELS:
            kept.append(item)
        elif _size(Path(item["source"])) > COPIED:
            kept.append(item)
            remarks.append(
                f"The channel {channel.name!r} has more than {COPIED >> 20} MiB: the job can read it and not change it."
            )
        else:
            copy = job.folder / "ml" / channel.relative_to("/opt/ml")
            shutil.copytree(item["source"], copy, copy_function=shutil.copyfile, dirs_exist_ok=True)
    return kept, remarks


def _size(folder: Path) -> int:
    return sum((Path(root) / name).stat().st_size for root, _, names in os.walk(folder) for name in names)
