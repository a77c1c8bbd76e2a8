"""CheckpointConfig: what lies under its S3 address before the job starts, and what the job leaves in the folder while it runs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from kenja.core import ids
from kenja.core.errors import JobFailed, ServiceError
from kenja.core.log import logger
from kenja.kernel.jobs.driver import Job
from kenja.services.sagemaker import sources
from kenja.services.sagemaker.archives import FileBody
from kenja_worker.shim.files import open_beneath

FOLDER = "/opt/ml/checkpoints"  # LocalPath of a request that names none; API reference
_ML = PurePosixPath("/opt/ml")
_TAKEN = ("input", "model", "output", "code")  # folders below it that have a meaning of their own
_MARKS = (".sagemaker-uploading", ".sagemaker-uploaded", ".sagemaker-ignore")  # by which AWS's agent and scripts talk
_NOTES = "checkpoints.json"  # in the job's folder: the state of every file that is stored
_log = logger(__name__)

_State = dict[str, list[int]]  # name below the folder → [time of change in nanoseconds, bytes]


def problems(config: Mapping[str, Any] | None) -> Iterator[str]:
    """What CreateTrainingJob refuses."""
    if not config:
        return
    if sources.split(config["S3Uri"]) is None:
        yield f"CheckpointConfig.S3Uri is {config['S3Uri']!r}; it must be s3://bucket/prefix."
    path = PurePosixPath(config.get("LocalPath", FOLDER))
    below = path.parts[len(_ML.parts) :]
    if not path.is_relative_to(_ML) or not below or ".." in below or below[0] in _TAKEN:
        yield f"CheckpointConfig.LocalPath is {str(path)!r}; in this release of Kenja it must be a folder of its own below {_ML}."


def restore(job: Job) -> None:
    """Download the checkpoints that are there, as copies, and tell the job where they are. Raises JobFailed."""
    config = job.record.body.get("CheckpointConfig")
    if not config:
        return
    where = str(PurePosixPath(config.get("LocalPath", FOLDER)))
    document = {"S3Uri": config["S3Uri"], "LocalPath": where}
    (job.folder / "ml" / "input" / "config" / "checkpointconfig.json").write_text(
        json.dumps(document), encoding="utf-8"
    )
    folder = _folder(job)
    items = sources.under(job.context, _base(config), "checkpoints", some=False)
    sources.link(job.context, items, folder, f"checkpoints {config['S3Uri']}", own_bytes=True)
    _remember(job, _present(folder))


def store(job: Job, *, last: bool = False) -> None:
    """Store what has changed and delete what is gone. What fails is tried again; at the `last` time it raises JobFailed."""
    config = job.record.body.get("CheckpointConfig")
    if not config or not (job.folder / _NOTES).exists():
        return
    stored: _State = json.loads((job.folder / _NOTES).read_bytes())
    present = _present(_folder(job))
    address = sources.split(_base(config))
    assert address is not None
    try:
        for name, state in present.items():
            if stored.get(name) != state and _put(job, name, *address):
                stored[name] = state
        for name in set(stored) - set(present):
            job.context.call("s3", "DeleteObject", Bucket=address[0], Key=address[1] + name)
            del stored[name]
    except ServiceError as error:
        if last:
            raise JobFailed(
                f"ClientError: Checkpoint upload failed: {config['S3Uri']}: {error.code}: {error.message}"
            ) from error
        _log.warning("job %s: a checkpoint can not be stored yet: %s", job.record.name, error)
    finally:
        _remember(job, stored)


def _base(config: Mapping[str, Any]) -> str:
    return f"{config['S3Uri'].rstrip('/')}/"


def _inside(job: Job) -> str:
    """The folder's path below the job's /opt/ml."""
    return str(PurePosixPath(job.record.body["CheckpointConfig"].get("LocalPath", FOLDER)).relative_to(_ML))


def _folder(job: Job) -> Path:
    return job.folder / "ml" / _inside(job)


def _present(folder: Path) -> _State:
    found: _State = {}
    for root, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") or name.endswith(_MARKS):
                continue
            path = Path(root) / name
            with contextlib.suppress(FileNotFoundError):  # the job is at work there
                facts = path.lstat()
                found[str(path.relative_to(folder))] = [facts.st_mtime_ns, facts.st_size]
    return found


def _put(job: Job, name: str, bucket: str, prefix: str) -> bool:
    """Store one file as it is now; False for what is no regular file, or gone. The job's links are never followed."""
    number = open_beneath(job.folder / "ml", f"{_inside(job)}/{name}")
    if number is None:
        return False
    incoming = job.context.kernel.objects.incoming_folder
    incoming.mkdir(parents=True, exist_ok=True)
    draft = incoming / f"checkpoint-{ids.token(24)}"
    try:
        with os.fdopen(number, "rb") as source, draft.open("wb") as target:
            shutil.copyfileobj(source, target)
        with FileBody(draft) as body:
            job.context.call("s3", "PutObject", Bucket=bucket, Key=prefix + name, Body=body)
    finally:
        draft.unlink(missing_ok=True)
    return True


def _remember(job: Job, state: _State) -> None:
    path = job.folder / _NOTES
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(state), encoding="utf-8")
    draft.replace(path)
