"""Archives of jobs: model.tar.gz and output.tar.gz on the way out, source archives on the way in. Never through a link."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from kenja.core import ids
from kenja.core.errors import JobFailed, ServiceError
from kenja.kernel.jobs.driver import Job
from kenja.services.sagemaker import sources

LEVEL = 3  # gzip level: models hardly shrink further, and the job waits for it
REQUIREMENTS = "requirements.txt"
MAX_REQUIREMENTS = 1024 * 1024  # bytes


class FileBody:
    """A file as the streaming body of an in-process call; one in the object store's incoming folder is taken over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.digests: dict[str, str] = {}
        self._file = path.open("rb")

    def read(self, n: int = -1, /) -> bytes:
        """The next `n` bytes; all of the rest without a number."""
        return self._file.read(n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()


def upload(job: Job) -> dict[str, Any]:
    """Store what the job left in /opt/ml/model and /opt/ml/output/data; the members that tell where. Raises JobFailed."""
    base = f"{job.record.body['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job.record.name}/output"
    plain = job.record.body["OutputDataConfig"].get("CompressionType") == "NONE"
    found: dict[str, Any] = {}
    model = job.folder / "ml" / "model"
    if any(_files(model)):
        where = f"{base}/model" if plain else f"{base}/model.tar.gz"
        _store(job, model, where, plain=plain)
        found["ModelArtifacts"] = {"S3ModelArtifacts": f"{where}/" if plain else where}
    data = job.folder / "ml" / "output" / "data"
    if any(_files(data)):
        _store(job, data, f"{base}/data" if plain else f"{base}/output.tar.gz", plain=plain)
    return found


def requirements(path: Path) -> str | None:
    """The requirements.txt in a source archive, or None. Raises JobFailed for what is no archive."""
    try:
        with tarfile.open(path, "r:*") as tar:
            for member in tar:
                if os.path.normpath(member.name) == REQUIREMENTS and member.isfile():
                    file = tar.extractfile(member)
                    assert file is not None
                    return file.read(MAX_REQUIREMENTS).decode(errors="replace")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise JobFailed(f"ClientError: sagemaker_submit_directory is no tar.gz archive: {error}") from error
    return None


def _store(job: Job, folder: Path, uri: str, *, plain: bool) -> None:
    if plain:
        for path, name in _files(folder):
            _put(job, path, f"{uri}/{name}")
        return
    incoming = job.context.kernel.objects.incoming_folder
    incoming.mkdir(parents=True, exist_ok=True)
    draft = incoming / f"archive-{ids.token(24)}"
    try:
        with tarfile.open(draft, "w:gz", compresslevel=LEVEL) as tar:
            for path, name in _files(folder):
                tar.add(path, name, recursive=False, filter=_plain)
        _put(job, draft, uri)
    finally:
        draft.unlink(missing_ok=True)


def _put(job: Job, path: Path, uri: str) -> None:
    address = sources.split(uri)
    assert address is not None
    try:
        with FileBody(path) as body:
            job.context.call("s3", "PutObject", Bucket=address[0], Key=address[1], Body=body)
    except ServiceError as error:
        raise JobFailed(f"ClientError: Data upload failed: {uri}: {error.code}: {error.message}") from error


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Regular files below `folder` with their names in the archive; links and devices are left out."""
    for root, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            if stat.S_ISREG(path.lstat().st_mode):
                yield path, str(path.relative_to(folder))


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """The owner and the hard links of the job's user mean nothing to whoever unpacks the archive."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info
