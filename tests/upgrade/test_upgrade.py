"""Data folders of every release, made by that release's own code, open in this version and answer as they did.

`make release-data` adds the next one at a release; what is here never changes.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import release_data
from sqlalchemy import create_engine, insert, inspect, select, text

from kenja import __version__
from kenja.core.clock import Clock
from kenja.core.config import Config
from kenja.kernel import backup
from kenja.kernel.database import Database, SchemaTooNew
from kenja.kernel.jobs.rows import JobRows
from kenja.kernel.objects.tables import METADATA as OBJECTS
from kenja.kernel.resources.store import Scope, Store
from kenja.kernel.resources.tables import METADATA as RESOURCES
from kenja.kernel.telemetry.log_index import METADATA as LOGS
from kenja.kernel.telemetry.metric_index import METADATA as METRICS
from kenja.kernel.telemetry.metrics import Filter, Metrics
from tests.conftest import RunningServer, serving, wait_until

RELEASES = sorted(Path(__file__).parent.glob("*.tar.xz"))
DATABASES = {  # file -> (metadata, migrations)
    "kenja.db": (RESOURCES, "kenja.kernel.resources.migrations"),
    "objects/index.db": (OBJECTS, "kenja.kernel.objects.migrations"),
    "telemetry/logs.db": (LOGS, "kenja.kernel.telemetry.log_index.migrations"),
    "telemetry/metrics.db": (METRICS, "kenja.kernel.telemetry.metric_index.migrations"),
}
CHANGED = {  # ends of what later versions answer otherwise on purpose -> why
    "Initiator.DisplayName": "S3 shows the account there, not an ARN",
    "Initiator.ID": "S3 shows the account's canonical id there, not an ARN",
}


def unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="tar")
    return folder / "data"


@pytest.fixture(scope="module", params=RELEASES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def release(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture(scope="module")
def upgraded(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of this version on a release's folder."""
    with serving(unpacked(release, tmp_path_factory.mktemp("upgraded"))) as server:
        yield server


def answers(server: RunningServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((server.data / release_data.ANSWERS).read_text())
    return found


def misses(old: Any, new: Any, where: str) -> list[str]:
    """What an answer had and has no more; it may have more than it had. Predictions may differ in their last digits."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [miss for name in old for miss in misses(old[name], new.get(name), f"{where}.{name}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [miss for number, (a, b) in pairs for miss in misses(a, b, f"{where}[{number}]")]
    if where == "invoke_endpoint.Body":
        return [] if float(new) == pytest.approx(float(old), abs=1e-5) else [f"{where}: {old} is now {new}"]
    return [] if old == new or where.endswith(tuple(CHANGED)) else [f"{where}: {old!r} is now {new!r}"]


def test_a_release_answers_as_it_did(upgraded: RunningServer) -> None:
    client = release_data.clients(upgraded.endpoint, upgraded.data)
    sagemaker = client("sagemaker")

    def whole() -> bool:
        (variant,) = sagemaker.describe_endpoint(EndpointName="serves")["ProductionVariants"]
        return bool(variant["CurrentInstanceCount"] == 1)

    wait_until(whole, 60)
    remembered = answers(upgraded)
    assert len(remembered) > 15
    found = []
    for call in remembered:
        now = release_data.answer(client, call["service"], call["operation"], call["request"])
        found += misses(call["answer"], now["answer"], call["operation"])
    assert not found


def test_a_job_that_waited_when_the_release_was_stopped_runs_now(upgraded: RunningServer) -> None:
    sagemaker = release_data.clients(upgraded.endpoint, upgraded.data)("sagemaker", release_data.OTHER)

    def ended() -> Any:
        job = sagemaker.describe_training_job(TrainingJobName=release_data.WAITING)
        return job if job["TrainingJobStatus"] != "InProgress" else None

    job = wait_until(ended, 90)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert sagemaker.describe_training_job(TrainingJobName="sleeps-0")["TrainingJobStatus"] == "Stopped"


def test_metrics_of_a_release_are_kept(release: Path, tmp_path: Path) -> None:
    data = unpacked(release, tmp_path)
    listed = next(
        call for call in json.loads((data / "answers.json").read_text()) if call["operation"] == "list_buckets"
    )
    made = datetime.fromisoformat(listed["answer"]["Buckets"][0]["CreationDate"]).timestamp()
    clock = Clock(offset=made - Clock().wall())  # the series are bounded: much later there is nothing
    metrics = Metrics(f"sqlite:///{data / 'telemetry' / 'metrics.db'}", clock)
    (series,), _ = metrics.list_metrics("000000000000", "us-east-1", Filter(namespace="Kept"), 10)
    (point,) = metrics.points(series, int(made) // 3600 * 3600, int(made) + 3600, 3600)
    assert (point.values.sum, point.values.count) == (1.5, 1.0)
    metrics.close()


def test_a_folder_that_was_never_upgraded_can_be_backed_up(release: Path, tmp_path: Path) -> None:
    data = unpacked(release, tmp_path)
    made = backup.back_up(Config(data), tmp_path / "kept", __version__)
    back = backup.restore(tmp_path / "kept", Config(tmp_path / "again"))
    assert made.blobs == back.blobs > 0
    assert (tmp_path / "again" / "kenja.db").is_file()


@pytest.mark.parametrize("file", DATABASES)
def test_a_database_that_was_upgraded_has_the_schema_of_a_new_one(release: Path, file: str, tmp_path: Path) -> None:
    metadata, migrations = DATABASES[file]
    described = []
    for path in (unpacked(release, tmp_path) / file, tmp_path / "new.db"):
        database = Database(f"sqlite:///{path}", metadata, migrations)
        found = inspect(database.engine)
        described.append({
            table: (
                {(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(table)},
                {(i["name"], tuple(i["column_names"])) for i in found.get_indexes(table)},
            )
            for table in found.get_table_names()
        })  # fmt: skip
        database.close()
    assert described[0] == described[1]
    assert metadata.tables.keys() <= described[0].keys()


def test_jobs_and_resources_of_a_release_upgrade_on_postgresql(release: Path, tmp_path: Path, postgres: str) -> None:
    """The release's schema is made by its own scripts, its rows are copied over from SQLite, and the store is opened."""
    from alembic import command
    from alembic.config import Config

    source = create_engine(f"sqlite:///{unpacked(release, tmp_path) / 'kenja.db'}")
    target = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with source.connect() as old, target.connect() as new:
        settings = Config()
        settings.set_main_option(
            "script_location", str(Path(release_data.REPOSITORY) / "src/kenja/kernel/resources/migrations")
        )
        settings.set_main_option("path_separator", "os")
        settings.attributes.update({"connection": new, "table": "revision_resources"})
        command.upgrade(settings, old.execute(text("SELECT version_num FROM revision_resources")).scalar_one())
        jobs = 0
        for name in ("resource", "tag", "job", "outbox", "secret"):
            table = RESOURCES.tables[name]
            columns = [table.c[column["name"]] for column in inspect(source).get_columns(name)]
            rows = [dict(row._mapping) for row in old.execute(select(*columns))]
            jobs += len(rows) if name == "job" else 0
            if rows:
                new.execute(insert(table), rows)
    source.dispose()
    target.dispose()
    store = Store(postgres, Clock())
    record = store.get(Scope("000000000000", "us-east-1"), "sagemaker:TrainingJob", "completes")
    assert record is not None
    assert record.status == "Completed"
    assert store.tags(record.arn) == {"team": "blue"}
    claimed = JobRows(store.database, Clock(), tmp_path / "none.sock").claim("me", ["vm:1:1"])
    assert jobs == 1
    assert [(row.name, row.status) for row in claimed] == [(release_data.WAITING, "InProgress")]
    store.close()


def test_a_newer_schema_is_refused_with_a_sentence(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'kenja.db'}"
    Store(url, Clock()).close()
    with sqlite3.connect(tmp_path / "kenja.db") as connection:
        connection.execute("UPDATE revision_resources SET version_num = '9999'")
    connection.close()
    with pytest.raises(SchemaTooNew, match=r"has schema 9999.*a newer version has opened it"):
        Store(url, Clock())


@pytest.mark.parametrize("file", ["kenja.db", "objects/index.db", "telemetry/logs.db", "telemetry/metrics.db"])
def test_a_server_on_a_newer_folder_ends_and_says_why(file: str, tmp_path: Path) -> None:
    data = unpacked(RELEASES[-1], tmp_path)
    with sqlite3.connect(data / file) as connection:
        ((table,),) = connection.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'revision%' AND type = 'table'"
        )
        connection.execute(f"UPDATE {table} SET version_num = '9999'")
    connection.close()
    before = (data / file).read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "kenja", "serve", "--port", "0", "--data", str(data)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "a newer version has opened it" in done.stderr
    assert "Traceback" not in done.stderr
    assert (data / file).read_bytes() == before, "what is not understood is not touched"


def test_the_release_before_this_version_has_its_folder() -> None:
    versions = [tuple(int(part) for part in path.name.removesuffix(".tar.xz").split(".")) for path in RELEASES]
    assert versions
    assert max(versions) <= tuple(int(part) for part in __version__.split("."))
