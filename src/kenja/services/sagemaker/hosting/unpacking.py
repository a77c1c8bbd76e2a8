"""A model archive becomes files: regular ones only, below one folder, bounded in size and number. Nothing in it is run."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath

from kenja.core.errors import JobFailed

MAX_BYTES = 30 * 1024**3  # unpacked; the largest volume of an instance without GPU, SageMaker developer guide
MAX_FILES = 100_000
MAX_NAME = 255  # bytes of one path component, as Linux file systems have it
_FOLDER, _FILE = 0o755, 0o644  # a replica may run as another user


def unpack(archive: Path, folder: Path, url: str) -> None:
    """Unpack a tar archive (gzip or plain). Raises JobFailed with a sentence for what is refused."""
    folder.mkdir(mode=_FOLDER)
    size = count = 0
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                count += 1
                size += member.size
                if count > MAX_FILES or size > MAX_BYTES:
                    raise JobFailed(f"{_failed(url)} it holds more than {MAX_FILES} files or {MAX_BYTES} bytes.")
                _take(tar, member, folder, url)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise JobFailed(f"{_failed(url)} it is no tar.gz archive: {error}.") from error


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, url: str) -> None:
    path = PurePosixPath(member.name)
    parts = [part for part in path.parts if part != "."]
    if path.is_absolute() or ".." in parts or any(len(part.encode(errors="replace")) > MAX_NAME for part in parts):
        raise JobFailed(f"{_failed(url)} {member.name!r} lies outside of it.")
    if not (member.isfile() or member.isdir()):
        raise JobFailed(f"{_failed(url)} {member.name!r} is a link or a device; only files and folders are unpacked.")
    place = folder.joinpath(*parts)
    parent = place if member.isdir() else place.parent
    parent.mkdir(mode=_FOLDER, parents=True, exist_ok=True)
    if member.isfile():
        source = tar.extractfile(member)
        assert source is not None
        with place.open("wb") as target:
            shutil.copyfileobj(source, target, 1024 * 1024)
        place.chmod(_FILE)


def _failed(url: str) -> str:
    return f"Failed to extract model data archive for container from URL {url}:"
