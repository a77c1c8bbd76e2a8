"""A copy of a data folder that may be at work, and the way back. It reads the source only; PostgreSQL has its own tools.

Each database is copied in one read transaction; the order of the copies makes them fit: resources first, then the index of
the objects (what a resource names was stored before it), then telemetry. Blobs are immutable, so those that the copied index
names are copied afterwards; when one was overwritten and swept meanwhile, the index is copied anew, until every row has its blob.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import create_engine, func, inspect, select

from kenja.core.clock import Clock
from kenja.core.config import Config
from kenja.kernel.database import sqlite_url
from kenja.kernel.objects.blobs import Blobs
from kenja.kernel.objects.tables import METADATA, RELEASED, SMALL

MANIFEST = "backup.json"
FORMAT = 1
ROUNDS = 20  # copies of the object index at most; each one waits for less than the one before
_RESOURCES, _INDEX = "kenja.db", "objects/index.db"
_LATER = ("telemetry/logs.db", "telemetry/metrics.db")
_FOLDERS = ("telemetry/logs", "hosting", "tls")  # append-only, or written once
_FILES = ("credentials", "telemetry/audit.log")
_ARCHIVES = (".tar", ".tar.gz", ".tgz")


class BackupError(Exception):
    """The backup or the way back can not be made; the message says why and what to do."""


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    version: str  # of the Kenja that made it
    made: float  # wall seconds
    blobs: int
    bytes: int


def back_up(config: Config, target: Path, version: str) -> Manifest:
    """Copy the data folder to `target`, a new folder or archive, complete when it is there. Raises BackupError."""
    if config.database_url:
        raise BackupError(
            "the server's rows are in PostgreSQL: run pg_dump first and copy the folders objects, telemetry, hosting and "
            "the file credentials of the data folder afterwards; `kenja backup` copies SQLite only."
        )
    if not (config.data / _RESOURCES).is_file():
        raise BackupError(f"{config.data} is no data folder of Kenja: it has no {_RESOURCES}.")
    if target.exists():
        raise BackupError(f"{target} is there already; name one that is not.")
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        manifest = _copied(config.data, draft, version)
        if target.name.endswith(_ARCHIVES):
            packed = draft.with_name(f"{draft.name}.tar")
            with tarfile.open(packed, "w" if target.suffix == ".tar" else "w:gz") as archive:
                archive.add(draft, ".")
            os.sync()
            packed.replace(target)
        else:
            os.sync()
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        draft.with_name(f"{draft.name}.tar").unlink(missing_ok=True)
    return manifest


def restore(source: Path, config: Config) -> Manifest:
    """Make a backup the data folder, which must be new or empty. Raises BackupError; then nothing has changed."""
    data = config.data
    if data.exists() and any(data.iterdir()):
        raise BackupError(
            f"{data} is not empty; stop its server and move it away, or choose another folder with --data."
        )
    draft = data.with_name(f".{data.name}.{os.getpid()}.part")
    try:
        if source.is_dir():
            shutil.copytree(source, draft)
        else:
            draft.mkdir(parents=True)
            with tarfile.open(source) as archive:
                archive.extractall(draft, filter="data")
        manifest = _checked(draft)
        draft.chmod(0o700)
        (draft / MANIFEST).unlink()
        os.sync()
        if data.exists():
            data.rmdir()
        draft.rename(data)
    except (OSError, tarfile.TarError) as error:
        raise BackupError(f"{source} can not be restored: {error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def _copied(data: Path, draft: Path, version: str) -> Manifest:
    draft.mkdir(parents=True, mode=0o700)
    _copy_database(data / _RESOURCES, draft / _RESOURCES)
    count, size = _copy_objects(data, draft)
    for name in _LATER:
        _copy_database(data / name, draft / name)
    for name in _FOLDERS:
        if (data / name).is_dir():
            shutil.copytree(data / name, draft / name, copy_function=_copy_if_there, dirs_exist_ok=True)
    for name in _FILES:
        if (data / name).is_file():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(data / name, draft / name)
    manifest = Manifest(FORMAT, version, Clock().wall(), count, size)
    (draft / MANIFEST).write_text(json.dumps(asdict(manifest)))
    return manifest


def _copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a SQLite file that others may be writing to."""
    if not source.is_file():
        return  # its subsystem was never used
    target.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///file:{quote(str(source))}?mode=ro&uri=true", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("VACUUM INTO ?", (str(target),))
    engine.dispose()


def _copy_objects(data: Path, draft: Path) -> tuple[int, int]:
    """The index with every blob that it names; how many, and their bytes. Raises BackupError."""
    source, target = Blobs(data / "objects"), Blobs(draft / "objects")
    for _ in range(ROUNDS):
        index = draft / _INDEX
        index.unlink(missing_ok=True)
        _copy_database(data / _INDEX, index)
        count = size = missing = 0
        inside = _inside(index)
        for blob in _named(index):
            if blob in inside:
                count, size = count + 1, size + inside[blob]
                continue
            place = target.path(blob)
            if not place.exists():
                try:
                    shutil.copyfile(source.path(blob), place)
                    place.chmod(0o444)
                except FileNotFoundError:  # overwritten or deleted since the index was copied, and swept
                    missing += 1
                    continue
            count += 1
            size += place.stat().st_size
        if not missing:
            return count, size
    raise BackupError("objects are deleted faster than they can be copied; try again when the server has less to do.")


def _named(index: Path) -> Iterator[str]:
    """The blobs that rows of an object index name."""
    if not index.is_file():
        return
    engine = create_engine(sqlite_url(index))
    with engine.connect() as connection:
        there = inspect(connection).get_table_names()  # a folder of an older release has fewer
        for table in METADATA.tables.values():
            if "blob" in table.c and table not in (RELEASED, SMALL) and table.name in there:
                yield from (blob for blob in connection.execute(select(table.c.blob).distinct()).scalars() if blob)
    engine.dispose()


def _inside(index: Path) -> dict[str, int]:
    """The small blobs that an object index has itself, and their bytes."""
    if not index.is_file():
        return {}
    engine = create_engine(sqlite_url(index))
    found: dict[str, int] = {}
    with engine.connect() as connection:
        if inspect(connection).has_table(SMALL.name):
            rows = connection.execute(select(SMALL.c.blob, func.length(SMALL.c.data).label("length")))
            found = {row.blob: row.length for row in rows}
    engine.dispose()
    return found


def _copy_if_there(source: str, target: str) -> str:
    """shutil.copy2 of a file that its owner may remove at any moment."""
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        return source
    return target


def _checked(draft: Path) -> Manifest:
    """A backup's manifest, once every row of it is known to have its blob. Raises BackupError."""
    try:
        manifest = Manifest(**json.loads((draft / MANIFEST).read_text()))
    except (OSError, ValueError, TypeError):
        raise BackupError(f"there is no {MANIFEST} in it: it is no backup that `kenja backup` has finished.") from None
    if manifest.format != FORMAT:
        raise BackupError(
            f"it has format {manifest.format}, made by Kenja {manifest.version}; this one reads {FORMAT}."
        )
    blobs = Blobs(draft / "objects")
    inside = _inside(draft / _INDEX)
    lost = [blob for blob in _named(draft / _INDEX) if blob not in inside and not blobs.path(blob).is_file()]
    if lost:
        raise BackupError(f"{len(lost)} of its objects have no bytes (the first: {lost[0]}): the backup is damaged.")
    return manifest
