"""Configurations of buckets and the outbox of objects, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kenja.core.clock import Clock
from kenja.kernel.objects import Change, ObjectStore, Removal
from kenja.kernel.objects.errors import (
    ForeignBucket,
    NoSuchBucket,
    PreconditionFailed,
    TooManyBuckets,
    TooManyDocuments,
)
from kenja.kernel.resources.store import Scope

ME, OTHER = "1" * 12, "2" * 12


@pytest.fixture
def store(tmp_path: Path, database_url: str) -> Iterator[ObjectStore]:
    made = ObjectStore(tmp_path / "objects", database_url, Clock())
    made.create_bucket(ME, "us-east-1", "mine")
    yield made
    made.close()


def test_a_document_is_kept_replaced_and_removed(store: ObjectStore) -> None:
    documents = store.documents
    assert documents.get(ME, "mine", "cors") is None
    documents.put(ME, "mine", "cors", {"day": datetime(2030, 1, 1, tzinfo=UTC), "text": "日本"})
    documents.put(ME, "mine", "cors", {"day": datetime(2031, 1, 1, tzinfo=UTC)})
    assert documents.get(ME, "mine", "cors") == {"day": datetime(2031, 1, 1, tzinfo=UTC)}
    assert documents.seen("mine", "cors") == {"day": datetime(2031, 1, 1, tzinfo=UTC)}
    assert documents.seen("none", "cors") is None
    assert (documents.delete(ME, "mine", "cors"), documents.delete(ME, "mine", "cors")) == (True, False)


def test_documents_are_the_owners_only(store: ObjectStore) -> None:
    for account, bucket, error in ((OTHER, "mine", ForeignBucket), (ME, "none", NoSuchBucket)):
        with pytest.raises(error):
            store.documents.get(account, bucket, "cors")
        with pytest.raises(error):
            store.documents.put(account, bucket, "cors", {})
        with pytest.raises(error):
            store.documents.delete(account, bucket, "cors")
        with pytest.raises(error):
            store.documents.list(account, bucket, "cors", after="", limit=1)


def test_documents_with_ids_are_listed_in_order_and_limited_in_number(store: ObjectStore) -> None:
    for name in ("c", "a", "b"):
        store.documents.put(ME, "mine", "metrics", {"n": name}, id=name, most=3)
    with pytest.raises(TooManyDocuments):
        store.documents.put(ME, "mine", "metrics", {}, id="d", most=3)
    store.documents.put(ME, "mine", "metrics", {"n": "B"}, id="b", most=3)
    assert store.documents.list(ME, "mine", "metrics", after="a", limit=5) == [("b", {"n": "B"}), ("c", {"n": "c"})]


def test_documents_go_with_their_bucket(store: ObjectStore) -> None:
    store.documents.put(ME, "mine", "cors", {})
    store.delete_bucket(ME, "mine")
    store.create_bucket(OTHER, "us-east-1", "mine")
    assert store.documents.get(OTHER, "mine", "cors") is None
    store.documents.put(OTHER, "mine", "cors", {})
    store.empty(OTHER)
    assert store.documents.owned("mine") is None


def test_an_account_has_so_many_buckets_and_no_more(store: ObjectStore) -> None:
    store.create_bucket(ME, "us-east-1", "second", most=2)
    with pytest.raises(TooManyBuckets):
        store.create_bucket(ME, "us-east-1", "third", most=2)
    store.create_bucket(OTHER, "us-east-1", "third", most=2)


def test_changes_are_announced_inside_their_transaction(store: ObjectStore) -> None:
    store.create_bucket(ME, "us-east-1", "telling", settings={"any": 1})
    told: list[Change] = []

    def announce(change: Change) -> None:
        told.append(change)
        store.outbox.append(Scope(ME, "us-east-1"), "aws.s3", "Object Created", [change.key], {})
        if change.key == "bad":
            raise RuntimeError("as a bug would")

    def refuse(_present: object) -> None:
        raise PreconditionFailed("If-Match")

    def put(bucket: str, key: str, **more: object) -> None:
        with store.receive(b"abc") as draft:
            store.put(ME, bucket, key, draft, announce=announce, **more)  # type: ignore[arg-type]

    put("mine", "a")  # a bucket without settings has nothing to tell
    put("telling", "a")
    with pytest.raises(PreconditionFailed):
        put("telling", "b", condition=refuse)
    with pytest.raises(RuntimeError):
        put("telling", "bad")
    store.delete(ME, "telling", Removal("a"), announce)
    store.delete(ME, "telling", Removal("never"), announce)
    assert [(change.key, change.created, change.size) for change in told] == [
        ("a", True, 3),
        ("bad", True, 3),
        ("a", False, 0),
    ]
    assert [event.resources for event in store.outbox.pending()] == [("a",), ("a",)]  # nothing of what was rolled back
    assert store.list(ME, "telling").rows == []
