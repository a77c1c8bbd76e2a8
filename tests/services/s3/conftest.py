"""What the S3 tests share: one client of the server's root account, and a bucket per test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture(scope="session")
def shared(server: Any) -> Iterator[Any]:
    made = server.client("s3")
    yield made
    made.close()


@pytest.fixture
def s3(shared: Any) -> Any:
    return shared


@pytest.fixture
def another(server: Any) -> Iterator[Callable[..., Any]]:
    """`another(keys, region, **config)`: a further client of S3, closed when the test ends."""
    made = []

    def make(keys: Any = None, region: str = "us-east-1", **options: Any) -> Any:
        made.append(server.client("s3", keys, region, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def refused() -> Callable[..., Any]:
    """`with refused("NoSuchKey", 404) as error:`; `error["Error"]` is what the client got."""

    @contextmanager
    def expect(code: str, status: int) -> Iterator[dict[str, Any]]:
        answer: dict[str, Any] = {}
        with pytest.raises(ClientError) as caught:
            yield answer
        answer.update(caught.value.response)
        found = (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"])
        assert found == (code, status), answer["Error"]

    return expect
