"""Event streams that a handler returns, read by boto3 from a real gateway while they are made."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from kenja.core.errors import ServiceError
from kenja.server.app import THREADS
from tests.wire.streaming import gateway

WAIT = 20  # seconds until a thing that should happen at once counts as not happening
COUNT = THREADS + 8  # streams at once, more than the gateway has threads for handlers
MESSAGE = {"role": "user", "content": [{"text": "hello"}]}


class Story:
    """A ConverseStream handler whose steps the test takes."""

    def __init__(self) -> None:
        self.go_on, self.closed = threading.Event(), threading.Event()
        self.endless = False
        self.failure: Exception | None = None

    def handle(self, context: Any, request: dict[str, Any]) -> dict[str, Any]:
        if request["modelId"] == "none":
            raise ServiceError("ResourceNotFoundException", "No such model.")
        return {"stream": self._events(request["modelId"])}

    def _events(self, model: str) -> Iterator[dict[str, Any]]:
        try:
            yield {"messageStart": {"role": "assistant"}}
            assert self.go_on.wait(WAIT)
            yield {"contentBlockDelta": {"delta": {"text": f"賢者 {model}"}, "contentBlockIndex": 0}}
            if self.failure is not None:
                raise self.failure
            while self.endless:
                yield {"contentBlockStop": {"contentBlockIndex": 0}}
            yield {"messageStop": {"stopReason": "end_turn"}}
        finally:
            self.closed.set()


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def bedrock(tmp_path: Path, story: Story) -> Iterator[Any]:
    with gateway(tmp_path, {"bedrock-runtime": {"ConverseStream": story.handle}}) as client:
        yield client("bedrock-runtime")
        story.go_on.set()


def _stream(bedrock: Any, model: str = "m") -> Any:
    return closing(bedrock.converse_stream(modelId=model, messages=[MESSAGE])["stream"])


def test_an_event_arrives_before_the_next_one_is_made(bedrock: Any, story: Story) -> None:
    with _stream(bedrock) as stream:
        reader = iter(stream)
        assert next(reader) == {"messageStart": {"role": "assistant"}}
        story.go_on.set()
        assert list(reader) == [
            {"contentBlockDelta": {"delta": {"text": "賢者 m"}, "contentBlockIndex": 0}},
            {"messageStop": {"stopReason": "end_turn"}},
        ]
    assert story.closed.wait(WAIT)


def test_a_failure_before_the_stream_is_an_ordinary_error(bedrock: Any) -> None:
    with pytest.raises(ClientError, match="No such model") as caught:
        _stream(bedrock, "none")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    with pytest.raises(ClientError, match="ValidationException"):
        bedrock.converse_stream(modelId="m", messages=[{**MESSAGE, "role": "nobody"}])


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ServiceError("ThrottlingException", "Slow down."), "throttlingException"),  # a member of the stream
        (ServiceError("QuotaGone", "Slow down."), "QuotaGone"),  # none
    ],
)
def test_a_failure_in_the_middle_is_the_last_frame(bedrock: Any, story: Story, failure: Exception, code: str) -> None:
    story.failure = failure
    story.go_on.set()
    with _stream(bedrock) as stream:
        reader = iter(stream)
        assert [next(iter(next(reader))) for _ in range(2)] == ["messageStart", "contentBlockDelta"]
        with pytest.raises(EventStreamError, match="Slow down") as caught:
            next(reader)
    assert caught.value.response["Error"]["Code"] == code
    assert story.closed.wait(WAIT)


def test_our_own_bug_in_the_middle_is_told_and_logged(
    bedrock: Any, story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    story.failure = KeyError("private")
    story.go_on.set()
    with caplog.at_level(logging.ERROR, "kenja"), _stream(bedrock) as stream:
        with pytest.raises(EventStreamError, match="InternalFailure") as caught:
            list(stream)
        assert "private" not in str(caught.value)
    assert any(record.exc_info and "private" in str(record.exc_info[1]) for record in caplog.records)


def test_a_client_that_leaves_ends_the_handler(bedrock: Any, story: Story) -> None:
    story.endless = True
    with _stream(bedrock) as stream:
        next(iter(stream))
        story.go_on.set()
        assert not story.closed.is_set()
    assert story.closed.wait(WAIT)


def test_streams_leave_the_threads_of_other_calls_alone(bedrock: Any, story: Story) -> None:
    with ExitStack() as stack:
        readers = [iter(stack.enter_context(_stream(bedrock, str(number)))) for number in range(COUNT)]
        assert all(next(reader) == {"messageStart": {"role": "assistant"}} for reader in readers)
        with pytest.raises(ClientError, match="No such model"):
            _stream(bedrock, "none")
        story.go_on.set()
        texts = [next(reader)["contentBlockDelta"]["delta"]["text"] for reader in readers]
        assert texts == [f"賢者 {number}" for number in range(COUNT)]


def test_json_and_xml_streams_arrive_too(tmp_path: Path) -> None:
    start = {"sessionStart": {"requestId": "r", "sessionId": "s", "logGroupIdentifiers": ["g"]}}
    update = {
        "sessionUpdate": {"sessionMetadata": {"sampled": False}, "sessionResults": [{"message": "m", "timestamp": 1}]}
    }
    records = [
        {"Records": {"Payload": b"a,b\n"}},
        {"Cont": {}},
        {"Stats": {"Details": {"BytesScanned": 4}}},
        {"End": {}},
    ]
    handlers = {
        "logs": {"StartLiveTail": lambda context, request: {"responseStream": iter([start, update])}},
        "s3": {"SelectObjectContent": lambda context, request: {"Payload": iter(records)}},
        "sagemaker-runtime": {
            "InvokeEndpointWithResponseStream": lambda context, request: {
                "Body": iter([{"PayloadPart": {"Bytes": request["Body"]}}]), "ContentType": "text/csv"
            }
        },
    }  # fmt: skip
    with gateway(tmp_path, handlers) as client:
        told = client("logs").start_live_tail(logGroupIdentifiers=["arn:aws:logs:us-east-1:000000000000:log-group:g"])
        assert list(told["responseStream"]) == [start, update]
        found = client("s3").select_object_content(
            Bucket="some-bucket", Key="k", Expression="SELECT * FROM S3Object", ExpressionType="SQL",
            InputSerialization={"CSV": {}}, OutputSerialization={"CSV": {}},
        )  # fmt: skip
        assert list(found["Payload"]) == records
        answer = client("sagemaker-runtime").invoke_endpoint_with_response_stream(EndpointName="e", Body=b"1,2")
        assert answer["ContentType"] == "text/csv"
        assert list(answer["Body"]) == [{"PayloadPart": {"Bytes": b"1,2"}}]
