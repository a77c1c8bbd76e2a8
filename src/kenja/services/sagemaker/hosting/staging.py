"""A replica's model and code as folders, shared read-only by all replicas of a revision, and what is run over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kenja.core.errors import JobFailed, ServiceError
from kenja.kernel.hosting.host import Replica
from kenja.kernel.jobs import overlays
from kenja.runtimes import ImageMatch
from kenja.runtimes.places import draft_of
from kenja.services.sagemaker import sources
from kenja.services.sagemaker.hosting import unpacking
from kenja.services.sagemaker.hosting.models import PROGRAM, SUBMIT_DIRECTORY

MODEL, CODE = "/opt/ml/model", "/opt/ml/code"  # where a replica sees them
_DEFAULT_CODE = f"{MODEL}/code"
_DEFAULT_PROGRAM = "inference.py"
_REQUIREMENTS = "requirements.txt"
_MAX_REQUIREMENTS = 1024 * 1024  # bytes that are read
_COMPLETE = "complete"
# of ModelBuilder (SDK v3), whose handlers copy what is in it to /lib and fail where that is read-only
_SYSTEM_LIBRARIES = "shared_libs"


@dataclass(frozen=True)
class Server:
    """The interpreter of a model server, its arguments, and what it must be able to read beside its runtime."""

    python: Path
    arguments: tuple[str, ...]
    readable: tuple[Path, ...] = ()


def stage(replica: Replica, given: Mapping[str, Any]) -> dict[str, Path]:
    """The folders that a replica gets, by where it sees them. Raises JobFailed."""
    staged = {MODEL: _unpacked(replica, given.get("ModelDataUrl"), f"model-{replica.row.variant}")}
    submitted = given.get("Environment", {}).get(SUBMIT_DIRECTORY, "")
    if submitted.startswith("s3://"):
        staged[CODE] = _unpacked(replica, submitted, f"code-{replica.row.variant}")
    return staged


def server(replica: Replica, match: ImageMatch, given: Mapping[str, Any], staged: Mapping[str, Path]) -> Server:
    """An algorithm's own server, or the script that the container's variables name. Raises JobFailed."""
    root = replica.context.kernel.config.runtimes
    variables = given.get("Environment", {})
    program = variables.get(PROGRAM)
    if program is None and match.algorithm is not None:
        return Server(match.runtime.python(root), ("--algorithm", match.algorithm))
    if match.framework is None:
        raise JobFailed(f"{given['Image']} runs no script; {PROGRAM} must not be set for it.")
    program = program or _DEFAULT_PROGRAM
    seen = CODE if CODE in staged else variables.get(SUBMIT_DIRECTORY, _DEFAULT_CODE).rstrip("/")
    folder = _folder(seen, staged)
    arguments = (
        "--framework",
        match.framework,
        "--program",
        program,
        "--code",
        str(PurePosixPath(seen).relative_to("/opt/ml")),
    )
    requirements = folder / _REQUIREMENTS
    if not requirements.is_file():
        return Server(match.runtime.python(root), arguments)
    with requirements.open("rb") as file:
        text = file.read(_MAX_REQUIREMENTS).decode(errors="replace")
    found = overlays.overlay(match.runtime, root, replica.context.kernel.config.data / "overlays", text)
    return Server(found.python, arguments, (found.location,))


def _folder(seen: str, staged: Mapping[str, Path]) -> Path:
    """Where a folder that a replica sees lies here."""
    path = PurePosixPath(seen)
    for target, source in staged.items():
        if path.is_relative_to(target) and ".." not in path.parts:
            return source / path.relative_to(target)
    raise JobFailed(
        f"{SUBMIT_DIRECTORY} is {seen!r}; it must be an s3:// address of a tar.gz archive, or a folder below {MODEL}."
    )


def _unpacked(replica: Replica, url: str | None, name: str) -> Path:
    """The files of an archive, or an empty folder without one."""
    place = replica.shared / name
    with draft_of(place, _COMPLETE) as draft:
        if draft is not None:
            if url is None:
                (draft / "files").mkdir(mode=0o755)
            else:
                archive = replica.folder / f"{name}.tar.gz"
                _download(replica, url, archive)
                unpacking.unpack(archive, draft / "files", url)
                _drop_if_empty(draft / "files" / _SYSTEM_LIBRARIES)
                archive.unlink()
            (draft / _COMPLETE).touch()
    return place / "files"


def _drop_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _download(replica: Replica, url: str, path: Path) -> None:
    address = sources.split(url)
    if address is None or not address[1]:
        raise JobFailed(f"{url!r} is no address of an archive; it must be s3://bucket/key.")
    try:
        replica.context.call("s3", "HeadObject", Bucket=address[0], Key=address[1])  # as the role
        replica.context.kernel.objects.link(replica.context.account, *address, path)
    except ServiceError as error:
        raise JobFailed(
            f"Failed to download model data for container from URL: {url}. Please ensure that there is an "
            f"object located at the URL and that the role {replica.context.principal.arn} may read it. "
            f"S3 said: {error.code}: {error.message}"
        ) from error
