"""The table of jobs: leases, their expiry, and what a second reconciler may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from kenja.core.clock import Clock
from kenja.kernel.jobs.rows import JobRows
from kenja.kernel.leases import LEASE
from kenja.kernel.resources.store import Record, Scope, Store

HERE = Scope("111111111111", "us-east-1")


class Hand(Clock):
    """A wall clock that is moved by hand."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "now", 1000.0)

    def wall(self) -> float:
        return self.now  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def store(database_url: str, clock: Hand) -> Store:
    opened = Store(database_url, clock)
    yield opened
    opened.close()


@pytest.fixture
def jobs(store: Store, clock: Hand, tmp_path: Path) -> JobRows:
    return JobRows(store.database, clock, tmp_path / "wake.sock")


def queue(store: Store, jobs: JobRows, name: str) -> None:
    kept = store.insert(Record(HERE, "sagemaker:TrainingJob", name, f"arn:{name}", "InProgress", {}))
    jobs.enqueue(kept, "training")


def test_a_leased_job_is_nobody_elses_until_the_lease_ends(store: Store, jobs: JobRows, clock: Hand) -> None:
    queue(store, jobs, "a")
    assert jobs.has_free()
    assert [row.name for row in jobs.claim("one")] == ["a"]
    assert not jobs.has_free()
    assert jobs.claim("two") == []
    object.__setattr__(clock, "now", 1000.0 + LEASE + 1)
    assert [row.name for row in jobs.claim("two")] == ["a"]
    assert jobs.owned("one") == []


def test_renewing_keeps_a_lease(store: Store, jobs: JobRows, clock: Hand) -> None:
    queue(store, jobs, "a")
    jobs.claim("one")
    object.__setattr__(clock, "now", 1000.0 + LEASE - 1)
    jobs.renew("one")
    object.__setattr__(clock, "now", 1000.0 + LEASE + 1)
    assert jobs.claim("two") == []


def test_jobs_of_a_dead_owner_are_taken_at_once(store: Store, jobs: JobRows) -> None:
    queue(store, jobs, "a")
    jobs.claim("dead")
    assert jobs.owners() == ["dead"]
    assert [row.name for row in jobs.claim("alive", ["dead"])] == ["a"]


def test_rows_carry_phase_data_and_the_status_of_their_resource(store: Store, jobs: JobRows) -> None:
    queue(store, jobs, "b")
    queue(store, jobs, "a")
    rows = jobs.claim("one")
    assert [row.name for row in rows] == ["b", "a"], "oldest first"
    moved = jobs.move(rows[0], "running", stop_sent=True)
    assert (moved.phase, moved.data) == ("running", {"stop_sent": True})
    record = store.get(HERE, "sagemaker:TrainingJob", "b")
    assert record is not None
    assert moved.resource == record.id
    store.change(record, status="Stopping", sources=frozenset({"InProgress"}))
    again = jobs.owned("one")
    assert [(row.name, row.phase, row.status) for row in again] == [
        ("b", "running", "Stopping"),
        ("a", "queued", "InProgress"),
    ]
    store.delete(store.get(HERE, "sagemaker:TrainingJob", "a"))  # type: ignore[arg-type]
    assert {row.name: row.status for row in jobs.owned("one")} == {"a": None, "b": "Stopping"}
    jobs.finish(again[0])
    assert [row.name for row in jobs.owned("one")] == ["a"]


def test_a_poke_without_a_listener_is_no_error(jobs: JobRows) -> None:
    jobs.poke()
