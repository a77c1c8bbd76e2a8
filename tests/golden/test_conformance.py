"""The Smithy protocol suites against every codec; what does not pass stands in misses.toml with its reason."""

from __future__ import annotations

import pytest

from tests.golden import conformance, report, source

LEAST = {"input": 331, "request": 322, "output": 292, "error": 32}  # passed cases: the product's gate


@pytest.fixture(scope="module")
def results() -> report.Results:
    try:
        return report.run()
    except source.Unavailable as reason:
        pytest.skip(f"the Smithy suites need botocore's source package, once: {reason}")


@pytest.mark.parametrize("kind", conformance.KINDS)
def test_every_miss_is_explained_and_every_explained_case_still_misses(kind: str, results: report.Results) -> None:
    known = {key for key in report.table() if key.startswith(f"{kind}/")}
    failed = {key: why for key, why in results.failed.items() if key.startswith(f"{kind}/")}
    assert {key: why for key, why in failed.items() if key not in known} == {}
    assert sorted(known - failed.keys()) == [], "these pass now: take them out of misses.toml"


@pytest.mark.parametrize("kind", conformance.KINDS)
def test_as_many_cases_pass_as_the_product_promises(kind: str, results: report.Results) -> None:
    passed, every = results.passed(kind)
    assert LEAST[kind] <= passed <= every


def test_every_protocol_has_cases_of_every_kind(results: report.Results) -> None:
    protocols = {"json", "rest-json", "rest-xml", "query", "ec2", "smithy-rpc-v2-cbor"}
    assert set(results.counts) == {(kind, protocol) for kind in conformance.KINDS for protocol in protocols}


def test_the_page_shows_these_figures(results: report.Results) -> None:
    assert report.PAGE.read_text() == report.page(results), "run: python -m tests.golden.report"


def test_the_page_shows_every_known_miss() -> None:
    assert report.PAGE.read_text().endswith(report.misses())
