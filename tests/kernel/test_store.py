"""The contract of the resource store, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kenja.core.clock import Clock
from kenja.kernel.events.outbox import Outbox
from kenja.kernel.jobs.rows import JobRows
from kenja.kernel.resources import documents
from kenja.kernel.resources.store import AlreadyExists, Query, Record, Scope, Store

HERE = Scope("111111111111", "us-east-1")
KIND = "sagemaker:Model"


@pytest.fixture
def store(database_url: str) -> Store:
    opened = Store(database_url, Clock())
    yield opened
    opened.close()


def record(name: str, scope: Scope = HERE, status: str | None = None, **body: object) -> Record:
    return Record(scope, KIND, name, f"arn:aws:sagemaker:{scope.region}:{scope.account}:model/{name}", status, body)


def test_what_is_inserted_is_found_by_name_and_arn(store: Store) -> None:
    kept = store.insert(record("a", size=1, when=datetime(2026, 1, 2, tzinfo=UTC), raw=b"\0\xff"), {"team": "x"})
    assert store.get(HERE, KIND, "a") == kept
    assert store.by_arn(kept.arn) == kept
    assert kept.body == {"size": 1, "when": datetime(2026, 1, 2, tzinfo=UTC), "raw": b"\0\xff"}
    assert store.tags(kept.arn) == {"team": "x"}
    assert store.get(HERE, KIND, "A") is None
    assert store.get(HERE, "sagemaker:Endpoint", "a") is None


def test_accounts_and_regions_are_separate_worlds(store: Store) -> None:
    other_region, other_account = Scope(HERE.account, "eu-west-1"), Scope("222222222222", HERE.region)
    for scope in (HERE, other_region, other_account):
        store.insert(record("same", scope))
    assert [len(store.page(Query(scope, KIND, 10))) for scope in (HERE, other_region, other_account)] == [1, 1, 1]
    store.empty(other_account.account)
    assert store.get(other_account, KIND, "same") is None
    assert store.get(other_region, KIND, "same") is not None


def test_a_name_is_taken_once(store: Store) -> None:
    store.insert(record("a"))
    with pytest.raises(AlreadyExists):
        store.insert(record("a"))


def test_of_racing_inserts_one_wins(store: Store) -> None:
    start = threading.Barrier(8)

    def attempt(number: int) -> bool:
        start.wait()
        try:
            store.insert(record("race", number=number))
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(8))) == [False] * 7 + [True]


def test_a_change_needs_the_version_that_was_read(store: Store) -> None:
    first = store.insert(record("a", n=1, gone=True))
    second = store.change(first, members={"n": 2, "gone": None})
    assert second is not None
    assert (second.body, second.version) == ({"n": 2}, 2)
    assert store.change(first, members={"n": 3}) is None
    assert store.get(HERE, KIND, "a") == second


def test_a_move_needs_one_of_its_sources(store: Store) -> None:
    first = store.insert(record("a", status="Creating"))
    moved = store.change(first, status="InService", sources=frozenset({"Creating"}))
    assert moved is not None
    assert moved.status == "InService"
    assert store.change(moved, status="Failed", sources=frozenset({"Creating"})) is None
    assert store.change(first, status="Deleting", sources=frozenset({"InService"})) is not None, "whatever the version"


def test_racing_changes_lose_nothing(store: Store) -> None:
    store.insert(record("counter", n=0))

    def increase(_: int) -> None:
        while True:
            present = store.get(HERE, KIND, "counter")
            assert present is not None
            if store.change(present, members={"n": present.body["n"] + 1}) is not None:
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increase, range(24)))
    found = store.get(HERE, KIND, "counter")
    assert found is not None
    assert (found.body["n"], found.version) == (24, 25)


def test_a_record_of_the_same_name_is_not_the_one_that_was_deleted(store: Store) -> None:
    first = store.insert(record("a", status="Creating"), {"k": "v"})
    assert store.delete(first)
    assert not store.delete(first)
    assert store.tags(first.arn) == {}
    store.insert(record("a", status="Creating"))
    assert store.change(first, status="Failed", sources=frozenset({"Creating"})) is None


def test_tags_are_added_replaced_and_removed(store: Store) -> None:
    kept = store.insert(record("a"), {"one": "1", "two": "2"})
    store.tag(kept.arn, {"two": "zwei", "three": "三"})
    store.untag(kept.arn, ["one", "never there"])
    assert store.tags(kept.arn) == {"two": "zwei", "three": "三"}


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("sort", ["created", "modified", "name", "status"])
def test_pages_follow_each_other_without_gap_or_repeat(store: Store, sort: str, ascending: bool) -> None:
    for number in (7, 3, 9, 1, 4, 8, 2, 6, 0, 5):
        store.insert(record(f"m{number}", status="A" if number % 3 else "B"))
    names, after = [], None
    while True:
        page = store.page(Query(HERE, KIND, 3, sort=sort, ascending=ascending, after=after))  # type: ignore[arg-type]
        names += [found.name for found in page]
        if len(page) < 3:
            break
        after = (getattr(page[-1], sort), page[-1].id)
    assert sorted(names) == [f"m{n}" for n in range(10)]
    whole = [found.name for found in store.page(Query(HERE, KIND, 100, sort=sort, ascending=ascending))]  # type: ignore[arg-type]
    assert names == whole
    if sort == "name":
        assert whole == sorted(whole, reverse=not ascending)


def test_filters_are_literal(store: Store) -> None:
    for name in ("train_1", "trainX1", "Train%", "other"):
        store.insert(record(name, status="Failed" if name == "other" else "Completed"))

    def names(**filters: object) -> set[str]:
        return {found.name for found in store.page(Query(HERE, KIND, 10, **filters))}  # type: ignore[arg-type]

    assert names(name_contains="n_1") == {"train_1"}
    assert names(name_contains="%") == {"Train%"}
    assert names(name_contains="TRAIN") == {"train_1", "trainX1", "Train%"}
    assert names(status="Failed") == {"other"}
    assert store.count(HERE, KIND, ["Completed"]) == 3
    middle = store.get(HERE, KIND, "trainX1")
    assert middle is not None
    assert names(created_after=middle.created) == {"Train%", "other"}
    assert names(created_before=middle.created) == {"train_1"}


def test_resource_job_and_event_are_kept_together_or_not_at_all(store: Store, tmp_path: Path) -> None:
    jobs, outbox = JobRows(store.database, Clock(), tmp_path / "none.sock"), Outbox(store.database, Clock())

    def create(name: str, *, fail: bool) -> None:
        with store.transaction():
            kept = store.insert(record(name))
            jobs.enqueue(kept, "training")
            outbox.append(HERE, "aws.sagemaker", "State Change", [kept.arn], {"name": name})
            if fail:
                raise RuntimeError("the power went out")

    with pytest.raises(RuntimeError):
        create("lost", fail=True)
    create("kept", fail=False)
    assert [found.name for found in store.page(Query(HERE, KIND, 10))] == ["kept"]
    assert [row.name for row in jobs.claim("me")] == ["kept"]
    events = outbox.pending()
    assert [event.detail for event in events] == [{"name": "kept"}]
    outbox.delivered([events[0].id])
    assert outbox.pending() == []


def test_a_secret_is_made_once(store: Store) -> None:
    assert store.secret("s", "first") == "first"
    assert store.secret("s", "second") == "first"


def test_idempotency_tokens_remember_the_answer(store: Store) -> None:
    assert store.remembered(HERE, "op", "t") is None
    store.remember(HERE, "op", "t", "digest", {"Arn": "a"})
    assert store.remembered(HERE, "op", "t") == ("digest", {"Arn": "a"})
    assert store.remembered(Scope("222222222222", HERE.region), "op", "t") is None


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=["Cs"])) | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5).filter(lambda k: not k.startswith("$")), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(values)
def test_documents_come_back_as_they_went_in(value: object) -> None:
    assert documents.loads(documents.dumps({"value": value})) == {"value": value}
