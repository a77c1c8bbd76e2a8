"""Idempotency tokens: calls that come at the same time act once and get one answer, on both databases."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kenja.core.clock import Clock
from kenja.core.config import Config
from kenja.core.errors import ServiceError
from kenja.kernel import dispatch
from kenja.kernel.context import Context, Principal
from kenja.kernel.kernel import Kernel
from kenja.kernel.resources.store import TOKEN_LIFE, Record, Scope, Store

CALLER = Principal("111111111111", "arn:aws:iam::111111111111:root", "111111111111")


@pytest.fixture
def context(database_url: str, tmp_path: Path) -> Iterator[Context]:
    kernel = Kernel(Config(tmp_path / "data", database_url=database_url))
    service = kernel.services.get("sagemaker")
    assert service is not None
    yield Context(kernel, service, "CreateModelPackage", CALLER, "us-east-1", "request")
    kernel.close()


def test_calls_with_one_token_act_once_even_when_they_come_together(context: Context) -> None:
    entered: list[int] = []
    together = threading.Barrier(4)

    def handler(context: Context, _request: dict[str, Any]) -> dict[str, Any]:
        entered.append(1)
        number = len(entered)
        context.kernel.store.insert(Record(context.scope, "sagemaker:Thing", f"thing-{number}", "arn", None, {}))
        time.sleep(0.2)
        return {"Number": number}

    def call(_number: int) -> dict[str, Any]:
        together.wait(20)
        return dispatch._once(context, handler, {"ClientToken": "one"})

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(call, range(4)))
    assert answers == [{"Number": 1}] * 4
    assert context.kernel.store.count(context.scope, "sagemaker:Thing") == 1


def test_a_call_that_failed_is_not_remembered_and_one_with_other_parameters_is_refused(context: Context) -> None:
    def refuse(context: Context, _request: dict[str, Any]) -> dict[str, Any]:
        context.kernel.store.insert(Record(context.scope, "sagemaker:Thing", "half", "arn", None, {}))
        raise ServiceError("ValidationException", "no")

    with pytest.raises(ServiceError, match="no"):
        dispatch._once(context, refuse, {"ClientToken": "one"})
    assert context.kernel.store.count(context.scope, "sagemaker:Thing") == 0
    assert dispatch._once(context, lambda _context, _request: {"A": 1}, {"ClientToken": "one"}) == {"A": 1}
    assert dispatch._once(context, refuse, {"ClientToken": "one"}) == {"A": 1}
    with pytest.raises(ServiceError, match="used before with other parameters"):
        dispatch._once(context, refuse, {"ClientToken": "one", "ModelPackageName": "b"})


def test_tokens_are_forgotten_after_a_day(database_url: str, tmp_path: Path) -> None:
    store = Store(database_url, Clock())
    scope = Scope("111111111111", "us-east-1")
    store.remember(scope, "op", "old", "digest", {"A": 1})
    assert store.forget_tokens() == 0
    store.close()
    tomorrow = Store(database_url, Clock(offset=TOKEN_LIFE + 1))
    tomorrow.remember(scope, "op", "new", "digest", {"A": 2})
    assert tomorrow.forget_tokens() == 1
    assert tomorrow.remembered(scope, "op", "old") is None
    assert tomorrow.remembered(scope, "op", "new") == ("digest", {"A": 2})
    tomorrow.close()
