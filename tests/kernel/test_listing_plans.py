"""What a page of a listing costs: SQLite's own plan, and the rows that it really steps over, for every order and filter."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.dialects import sqlite

from kenja.core.clock import Clock
from kenja.kernel.resources import pages
from kenja.kernel.resources.store import Query, Scope, Store
from kenja.kernel.resources.tables import RESOURCE

HERE, KIND, COUNT = Scope("111111111111", "us-east-1"), "sagemaker:TrainingJob", 20_000
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "status": {"status": "Completed"},
    "rare status": {"status": "Failed"},
    "name": {"name_contains": "nowhere"},
    "status and name": {"status": "Completed", "name_contains": "nowhere"},
    "created": {"created_after": 5000.0, "created_before": 5010.0},
    "modified": {"modified_before": 10.0},
}
SORTS = ["created", "modified", "name", "status"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path_factory.mktemp('listing') / 'kenja.db'}", Clock())
    common = {
        "account": HERE.account,
        "region": HERE.region,
        "kind": KIND,
        "version": 1,
        "body": '{"a":"' + "x" * 500 + '"}',
    }
    rows = [
        {**common, "name": f"job-{number:05d}", "arn": f"arn:{number}", "created": float(number),
         "modified": float(number), "status": "Failed" if number % 2000 == 7 else "Completed"}
        for number in range(COUNT)
    ]  # fmt: skip
    with opened.database.transaction() as connection:
        for start in range(0, COUNT, 1000):
            connection.execute(insert(RESOURCE), rows[start : start + 1000])
    yield opened
    opened.close()


def position(sort: str, filters: dict[str, Any]) -> tuple[Any, int]:
    """The middle of the list; of a list that is bounded by its own order, a place within the bounds, as tokens name it."""
    row = {"created_after": 5005, "modified_before": 5}.get(next(iter(filters), ""), COUNT // 2)
    if not (filters.keys() & {f"{sort}_after", f"{sort}_before"}):
        row = COUNT // 2
    return {"name": f"job-{row:05d}", "status": "Completed"}.get(sort, float(row)), row + 1


@pytest.mark.parametrize("deep", [False, True], ids=["first page", "middle page"])
@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("name", FILTERS)
def test_a_page_steps_over_no_more_than_its_window(
    store: Store, name: str, sort: Any, ascending: bool, deep: bool
) -> None:
    query = Query(
        HERE,
        KIND,
        11,
        sort=sort,
        ascending=ascending,
        after=position(sort, FILTERS[name]) if deep else None,
        **FILTERS[name],
    )
    bound = pages.WINDOWS[-1] if pages.has_window(query) else 50
    for stretch in pages.stretches(query):
        statement = pages.windowed(query, stretch, query.limit, pages.WINDOWS[-1])
        text = str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
        with store.database.reading() as connection:
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
            steps = counted(connection.connection.driver_connection, text)
        searches = [line for line in plan if "resource" in line]
        assert searches
        assert all(line.startswith("SEARCH resource USING INDEX resource_by_") for line in searches), plan
        assert steps < 40 * bound + 2000, f"{steps} steps of SQLite's machine: {plan}"


def counted(connection: Any, text: str) -> int:
    """Instructions that SQLite's machine executes for a statement, to the hundred."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 100
        return 0

    connection.set_progress_handler(count, 100)
    try:
        connection.execute(text).fetchall()
    finally:
        connection.set_progress_handler(None, 0)
    return steps


def test_every_order_with_every_filter_finds_all_of_it(store: Store) -> None:
    for filters, sort in itertools.product([FILTERS["rare status"], FILTERS["created"], FILTERS["modified"]], SORTS):
        found, after, turns = 0, None, 0
        while turns == 0 or after is not None:
            records, after = store.scan(Query(HERE, KIND, 1000, sort=sort, after=after, **filters))  # type: ignore[arg-type]
            found += len(records)
            turns += 1
        assert found == {"status": 10, "created_after": 9, "modified_before": 10}[next(iter(filters))]


def test_a_data_folder_with_many_jobs_opens_as_fast_as_an_empty_one(store: Store) -> None:
    began = time.process_time()
    again = Store(store.database.url, Clock())
    assert len(again.page(Query(HERE, KIND, 10))) == 10
    again.close()
    assert time.process_time() - began < 2.0
    assert Path(store.database.url.removeprefix("sqlite:///")).is_file()
