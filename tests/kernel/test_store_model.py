"""The resource store, its lifecycles, job rows and outbox against models in plain Python, on both databases: any order of calls."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from kenja.core.clock import Clock
from kenja.kernel.events.outbox import Outbox
from kenja.kernel.jobs.rows import JobRows
from kenja.kernel.leases import LEASE, LeaseLost
from kenja.kernel.resources import pages
from kenja.kernel.resources.lifecycle import JOB, Lifecycle
from kenja.kernel.resources.store import AlreadyExists, Query, Record, Scope, Store
from kenja.kernel.services import load_all

SCOPES = [
    Scope(account, region) for account in ("111111111111", "222222222222") for region in ("us-east-1", "eu-west-1")
]
KINDS = ["sagemaker:Model", "sagemaker:TrainingJob"]
NAMES = ["a", "B", "b", "a-1", "ab%", "a_b", "ü"]
STATUSES = [None, "InProgress", "Completed", "Failed"]
FEW = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
scopes, kinds, names, statuses = (st.sampled_from(values) for values in (SCOPES, KINDS, NAMES, STATUSES))
keys, words = st.sampled_from(["x", "y", "z"]), st.text(max_size=5)


class Hand(Clock):
    """A clock that every look moves on, and that a test may set."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "now", 1000.0)

    def wall(self) -> float:
        return self.now  # type: ignore[attr-defined, no-any-return]

    def virtual(self) -> float:
        object.__setattr__(self, "now", self.now + 1.0)  # type: ignore[attr-defined]
        return self.now  # type: ignore[attr-defined, no-any-return]

    def set(self, now: float) -> None:
        object.__setattr__(self, "now", now)


def emptied(store: Store) -> None:
    with store.database.transaction() as connection:
        for table in ("resource", "tag", "job", "outbox", "idempotency"):
            connection.exec_driver_sql(f"DELETE FROM {table}")


@pytest.fixture
def store(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(pages, "WINDOWS", (2, 3))  # so that a handful of records is more than one page looks at
    opened = Store(database_url, Hand())
    yield opened
    opened.close()


Key = tuple[Scope, str, str]


class StoreModel(RuleBasedStateMachine):
    """Every call is made to the store and to `self.records`, a dict; both must agree."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        emptied(self.store)
        self.records: dict[Key, Record] = {}
        self.old: dict[Key, Record] = {}  # a version of each that was read earlier
        self.tags: dict[str, dict[str, str]] = {}

    @rule(
        scope=scopes,
        kind=kinds,
        name=names,
        status=statuses,
        body=st.dictionaries(keys, words),
        tags=st.dictionaries(keys, words),
    )
    def insert(self, scope: Scope, kind: str, name: str, status: str | None, body: Any, tags: Any) -> None:
        key = (scope, kind, name)
        wanted = Record(scope, kind, name, f"arn:{scope.account}:{scope.region}:{kind}:{name}", status, body)
        if key in self.records:
            with pytest.raises(AlreadyExists):
                self.store.insert(wanted, tags)
            return
        self.records[key] = self.old[key] = self.store.insert(wanted, tags)
        assert self.records[key] == dataclasses.replace(
            wanted, id=self.records[key].id, created=self.records[key].created, modified=self.records[key].created
        )
        self.tags[wanted.arn] = dict(tags)

    @rule(scope=scopes, kind=kinds, name=names, stale=st.booleans(), members=st.dictionaries(keys, words | st.none()))
    def change(self, scope: Scope, kind: str, name: str, stale: bool, members: Any) -> None:
        key = (scope, kind, name)
        if key not in self.records:
            return
        present, read = self.records[key], self.old[key] if stale else self.records[key]
        changed = self.store.change(read, members=members)
        if read.version != present.version:
            assert changed is None
            return
        assert changed is not None
        body = {name: value for name, value in {**present.body, **members}.items() if value is not None}
        assert (changed.body, changed.version, changed.status) == (body, present.version + 1, present.status)
        self.records[key] = changed

    @rule(scope=scopes, kind=kinds, name=names, goal=statuses, sources=st.sets(st.sampled_from(STATUSES)))
    def move(self, scope: Scope, kind: str, name: str, goal: str | None, sources: Any) -> None:
        key = (scope, kind, name)
        if key not in self.records or goal is None:
            return
        changed = self.store.change(self.old[key], status=goal, sources=frozenset(sources))
        assert (changed is not None) == (self.records[key].status in sources)
        if changed is not None:
            assert changed.status == goal
            self.records[key] = changed

    @rule(scope=scopes, kind=kinds, name=names)
    def delete(self, scope: Scope, kind: str, name: str) -> None:
        gone = self.records.pop((scope, kind, name), None)
        self.old.pop((scope, kind, name), None)
        if gone is not None:
            assert self.store.delete(gone)
            assert not self.store.delete(gone)
            self.tags.pop(gone.arn)

    @rule(scope=scopes, kind=kinds, name=names, added=st.dictionaries(keys, words), removed=st.sets(keys))
    def tag(self, scope: Scope, kind: str, name: str, added: Any, removed: Any) -> None:
        record = self.records.get((scope, kind, name))
        if record is not None:
            self.store.tag(record.arn, added)
            self.store.untag(record.arn, list(removed))
            self.tags[record.arn] = {k: v for k, v in {**self.tags[record.arn], **added}.items() if k not in removed}

    @rule(account=st.sampled_from(sorted({scope.account for scope in SCOPES})))
    def empty(self, account: str) -> None:
        self.store.empty(account)
        for key in [key for key in self.records if key[0].account == account]:
            self.tags.pop(self.records.pop(key).arn)
            self.old.pop(key)

    @rule(
        scope=scopes,
        kind=kinds,
        size=st.integers(1, 4),
        sort=st.sampled_from(["created", "modified", "name", "status"]),
        ascending=st.booleans(),
        status=statuses,
        contains=st.none() | st.sampled_from(["a", "B", "%", "_", "1"]),
        after=st.none() | st.integers(1000, 1100),
        before=st.none() | st.integers(1000, 1100),
    )
    def list(
        self,
        scope: Scope,
        kind: str,
        size: int,
        sort: Any,
        ascending: bool,
        status: Any,
        contains: Any,
        after: Any,
        before: Any,
    ) -> None:
        """The pages of a listing, one after another, are what the model holds; each page by both ways of asking."""
        query = Query(
            scope, kind, size, sort=sort, ascending=ascending, status=status, name_contains=contains,
            created_after=after, modified_before=before,
        )  # fmt: skip
        expected = [
            record
            for key, record in self.records.items()
            if key[:2] == (scope, kind)
            and (sort != "status" or record.status is not None)
            and (status is None or record.status == status)
            and (contains is None or contains.lower() in record.name.lower())
            and (after is None or record.created > after)
            and (before is None or record.modified < before)
        ]
        ids = {record.id for record in expected}
        for ask in (self._pages, self._scans):
            found = [r for r in ask(query) if sort != "status" or r.status is not None]
            assert len(found) == len(ids)
            assert {record.id for record in found} == ids
            order = [(getattr(record, sort), record.id) for record in found]
            if sort != "name":  # how letters are ordered is the database's matter
                assert order == sorted(order, reverse=not ascending)

    def _pages(self, query: Query) -> Iterator[Record]:
        while True:
            page = self.store.page(query)
            yield from page
            if len(page) < query.limit or getattr(page[-1], query.sort) is None:
                return
            query = dataclasses.replace(query, after=(getattr(page[-1], query.sort), page[-1].id))

    def _scans(self, query: Query) -> Iterator[Record]:
        while True:
            page, reached = self.store.scan(query)
            yield from page
            if reached is None and (len(page) < query.limit or getattr(page[-1], query.sort) is None):
                return
            mark = reached if reached is not None else (getattr(page[-1], query.sort), page[-1].id)
            if mark[0] is None:
                return
            query = dataclasses.replace(query, after=mark)

    @invariant()
    def every_record_is_found(self) -> None:
        for scope, kind, name in itertools.product(SCOPES, KINDS, NAMES[:3]):
            record = self.records.get((scope, kind, name))
            assert self.store.get(scope, kind, name) == record
            if record is not None:
                assert self.store.by_arn(record.arn) == record
                assert self.store.tags(record.arn) == self.tags[record.arn]


def test_the_store_agrees_with_a_dict_whatever_is_called(store: Store) -> None:
    machine = type("Bound", (StoreModel,), {"store": store})
    run_state_machine_as_test(machine, settings=FEW)


LIFECYCLES = {
    f"{service.name}:{kind}": resource.lifecycle
    for service in load_all()
    for kind, resource in service.resources.items()
    if resource.lifecycle is not None
} | {"JOB": JOB}


@pytest.mark.parametrize("name", LIFECYCLES)
def test_only_declared_moves_happen_and_final_states_are_final(store: Store, name: str) -> None:
    lifecycle: Lifecycle = LIFECYCLES[name]

    @settings(max_examples=20, deadline=None, derandomize=True)
    @given(st.lists(st.sampled_from(sorted(lifecycle.states)), max_size=12))
    def walk(targets: list[str]) -> None:
        emptied(store)
        read = store.insert(Record(SCOPES[0], KINDS[0], "walks", "arn", lifecycle.initial, {}))
        state = lifecycle.initial
        for target in targets:
            allowed = target in lifecycle.moves.get(state, ())
            moved = store.change(read, status=target, sources=lifecycle.sources(target))
            assert (moved is not None) == allowed, (state, target)
            assert not (lifecycle.is_final(state) and allowed)
            state = target if allowed else state
        present = store.get(SCOPES[0], KINDS[0], "walks")
        assert present is not None
        assert present.status == state

    walk()


def test_of_moves_that_race_exactly_one_wins(store: Store) -> None:
    targets = ["Completed", "Failed", "Stopped"] * 2
    for turn in range(10):
        read = store.insert(Record(SCOPES[0], KINDS[0], f"race-{turn}", "arn", "InProgress", {}))
        together = threading.Barrier(len(targets))

        def end(target: str, read: Record = read, together: threading.Barrier = together) -> str | None:
            together.wait(20)
            moved = store.change(read, status=target, sources=JOB.sources(target))
            return None if moved is None else moved.status

        with ThreadPoolExecutor(len(targets)) as threads:
            won = [status for status in threads.map(end, targets) if status is not None]
        present = store.get(SCOPES[0], KINDS[0], f"race-{turn}")
        assert present is not None
        assert won == [present.status]


class JobModel(RuleBasedStateMachine):
    """Owners that claim, renew, work and finish while the clock moves on and is set back; a dict knows who holds what."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        emptied(self.store)
        self.clock: Hand = self.store._clock  # type: ignore[assignment]
        self.clock.set(10_000.0)
        self.jobs = JobRows(self.store.database, self.clock, Path(tempfile.gettempdir()) / "nobody-listens.sock")
        self.leases: dict[str, tuple[str, float]] = {}  # name -> (owner, until)
        self.phases: dict[str, str] = {}
        self.made = 0

    owners = st.sampled_from(["one", "two", "three"])

    def _free(self, name: str, dead: list[str]) -> bool:
        owner, until = self.leases[name]
        now = self.clock.now  # type: ignore[attr-defined]
        return owner == "" or owner in dead or until < now or until > now + 2 * LEASE

    @rule()
    def enqueue(self) -> None:
        self.made += 1
        name = f"job-{self.made}"
        kept = self.store.insert(Record(SCOPES[0], KINDS[1], name, f"arn:{name}", "InProgress", {}))
        self.jobs.enqueue(kept, "training")
        self.leases[name], self.phases[name] = ("", 0.0), "queued"

    @rule(owner=owners, dead=st.lists(owners, max_size=1))
    def claim(self, owner: str, dead: list[str]) -> None:
        assert self.jobs.has_free() == any(self._free(name, []) for name in self.leases)
        self.jobs.claim(owner, dead)
        until = self.clock.now + LEASE  # type: ignore[attr-defined]
        self.leases |= {name: (owner, until) for name in self.leases if self._free(name, dead)}

    @rule(owner=owners)
    def renew(self, owner: str) -> None:
        self.jobs.renew(owner)
        until = self.clock.now + LEASE  # type: ignore[attr-defined]
        self.leases |= {name: (owner, until) for name, lease in self.leases.items() if lease[0] == owner}

    @rule(seconds=st.sampled_from([1.0, LEASE / 2, LEASE + 1, 3600.0, -3600.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.set(self.clock.now + seconds)  # type: ignore[attr-defined]

    @rule(reader=owners, phase=st.sampled_from(["starting", "running", "collecting"]), data=st.data())
    def work(self, reader: str, phase: Any, data: Any) -> None:
        """Somebody who read a row earlier writes: it counts only while the lease is still theirs."""
        rows = self.jobs.owned(reader)
        if not rows:
            return
        row = data.draw(st.sampled_from(rows))
        thief = data.draw(st.none() | self.owners)
        if thief is not None and thief != reader:
            self.claim(thief, [reader])
            with pytest.raises(LeaseLost):
                self.jobs.move(row, phase)
            with pytest.raises(LeaseLost):
                self.jobs.finish(row)
            return
        assert self.jobs.move(row, phase).phase == phase
        self.phases[row.name] = phase

    @rule(owner=owners)
    def finish(self, owner: str) -> None:
        for row in self.jobs.owned(owner)[:1]:
            self.jobs.finish(row)
            del self.leases[row.name], self.phases[row.name]

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        found = {
            row.name: (owner, row.phase) for owner in ("", "one", "two", "three") for row in self.jobs.owned(owner)
        }
        assert found == {name: (self.leases[name][0], self.phases[name]) for name in self.leases}


def test_a_job_has_one_owner_at_a_time_whatever_happens(store: Store) -> None:
    machine = type("Bound", (JobModel,), {"store": store})
    run_state_machine_as_test(machine, settings=FEW)


@contextmanager
def racing(count: int) -> Iterator[Callable[[Callable[[int], Any]], list[Any]]]:
    with ThreadPoolExecutor(count) as threads:
        yield lambda task: list(threads.map(task, range(count)))


def test_loops_that_claim_together_never_share_a_job(store: Store) -> None:
    jobs = JobRows(store.database, Clock(), Path(tempfile.gettempdir()) / "nobody-listens.sock")
    for number in range(30):
        kept = store.insert(Record(SCOPES[0], KINDS[1], f"job-{number}", f"arn:{number}", "InProgress", {}))
        jobs.enqueue(kept, "training")
    with racing(4) as together:
        together(lambda number: jobs.claim(f"owner-{number}"))
    held = [row.name for number in range(4) for row in jobs.owned(f"owner-{number}")]
    assert sorted(held) == sorted(f"job-{number}" for number in range(30))


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_events_arrive_at_least_once_and_in_the_order_of_their_source(store: Store, batch: int) -> None:
    outbox = Outbox(store.database, Clock())

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(st.lists(st.tuples(st.sampled_from(["s1", "s2"]), st.booleans(), st.booleans()), max_size=15))
    def deliver(steps: list[tuple[str, bool, bool]]) -> None:
        emptied(store)
        kept: list[tuple[str, int]] = []
        seen: list[tuple[str, int]] = []
        for number, (source, fails, crashes) in enumerate(steps):
            try:
                with store.transaction():
                    outbox.append(SCOPES[0], source, "Change", [], {"number": number})
                    if fails:
                        raise ZeroDivisionError
                kept.append((source, number))
            except ZeroDivisionError:
                pass
            events = outbox.pending(batch)
            seen += [(event.source, event.detail["number"]) for event in events]
            if not crashes:  # else it died between the delivery and the note of it
                outbox.delivered([event.id for event in events])
        while events := outbox.pending(batch):
            seen += [(event.source, event.detail["number"]) for event in events]
            outbox.delivered([event.id for event in events])
        first = list(dict.fromkeys(seen))
        assert first == kept, "each at least once; what was rolled back never; first deliveries in order"

    deliver()
