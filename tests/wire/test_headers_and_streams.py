"""Header values and event-stream frames, checked against botocore's own code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import EventStreamError
from botocore.model import ServiceModel
from hypothesis import given, settings
from hypothesis import strategies as st

from kenja.wire import Malformed, codec, eventstream, headers, load
from tests.wire import samples

LISTS = ServiceModel(
    {
        "metadata": {"protocol": "rest-json", "endpointPrefix": "x", "serviceId": "x"},
        "operations": {},
        "shapes": {
            "Texts": {"type": "list", "member": {"shape": "Text"}},
            "Text": {"type": "string"},
            "Dates": {"type": "list", "member": {"shape": "Date"}},
            "Date": {"type": "timestamp"},
            "Isos": {"type": "list", "member": {"shape": "Iso"}},
            "Iso": {"type": "timestamp", "timestampFormat": "iso8601"},
            "Numbers": {"type": "list", "member": {"shape": "Number"}},
            "Number": {"type": "integer"},
            "Holder": {
                "type": "structure",
                "members": {"Json": {"shape": "Text", "jsonvalue": True, "location": "header", "locationName": "j"}},
            },
        },
    },
    "x",
)

MOMENTS = [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(1999, 12, 31, tzinfo=UTC)]
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=6)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=4))
def test_lists_of_text_survive_whatever_they_hold(values: list[str]) -> None:
    shape = LISTS.shape_for("Texts")
    assert headers.reader(shape)(headers.writer(shape)(values)) == values


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a,b", ["a", "b"]),
        (" a , b ", ["a", "b"]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a\\"b", "c"', ['a"b', "c"]),
        ('"open', ["open"]),
        ("a,", ["a"]),
        ("a,,b", ["a", "", "b"]),
        ("", []),
    ],
)
def test_lists_are_split_as_http_says(text: str, parts: list[str]) -> None:
    assert headers.split_list(text) == parts


@pytest.mark.parametrize("name", ["Dates", "Isos"])
def test_lists_of_dates(name: str) -> None:
    shape = LISTS.shape_for(name)
    assert headers.reader(shape)(headers.writer(shape)(MOMENTS)) == MOMENTS


def test_lists_of_numbers() -> None:
    shape = LISTS.shape_for("Numbers")
    assert headers.reader(shape)("1, 2,3") == [1, 2, 3]
    with pytest.raises(Malformed):
        headers.reader(shape)("1, x")


def test_json_in_a_header() -> None:
    shape = LISTS.shape_for("Holder").members["Json"]
    assert headers.reader(shape)(headers.writer(shape)({"a": [1, None]})) == {"a": [1, None]}
    for text in ("{}", "e30", "", "e30x"):
        with pytest.raises(Malformed):
            headers.reader(shape)(text)


def _events(data: bytes) -> list[Any]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


def test_botocore_reads_every_type_of_event_header() -> None:
    sent = {"t": True, "f": False, "i": -7, "l": 1 << 40, "b": b"\x00\xff", "s": "賢", "d": MOMENTS[0]}
    kinds = {bool: "boolean", bytes: "blob", str: "string", datetime: "timestamp"}
    packed = b"".join(eventstream.header(name, kinds.get(type(item), "long"), item) for name, item in sent.items())
    (event,) = _events(eventstream.frame(packed, b"payload"))
    received = dict(event.headers)
    assert received.pop("d") == int(MOMENTS[0].timestamp() * 1000)
    del sent["d"]
    assert received == sent
    assert event.payload == b"payload"


def test_an_exception_event_and_an_error_end_the_stream_as_botocore_expects() -> None:
    model = load("sagemaker-runtime")
    operation = model.operation_model("InvokeEndpointWithResponseStream")

    def failing() -> Any:
        yield {"PayloadPart": {"Bytes": b"one"}}
        yield {"ModelStreamError": {"Message": "It broke.", "ErrorCode": "ModelInvocationTimeExceeded"}}

    response = codec(model, "rest").serialize(operation.name, {"Body": failing()}, "r")
    stream = iter(samples.receive(operation, "rest-json", response)["Body"])
    assert next(stream) == {"PayloadPart": {"Bytes": b"one"}}
    with pytest.raises(EventStreamError, match="It broke"):
        next(stream)
    (event,) = _events(eventstream.error("InternalFailure", "Ours."))
    assert event.headers[":error-code"] == "InternalFailure"


def test_events_are_made_as_they_are_asked_for() -> None:
    made = []

    def counting() -> Any:
        for number in range(3):
            made.append(number)
            yield {"PayloadPart": {"Bytes": b"x"}}

    response = codec(load("sagemaker-runtime"), "rest").serialize(
        "InvokeEndpointWithResponseStream", {"Body": counting()}, "r"
    )
    assert made == []
    assert not isinstance(response.body, bytes)
    next(iter(response.body))  # type: ignore[arg-type]
    assert made == [0]


def test_a_json_stream_begins_with_the_initial_response() -> None:
    response = codec(load("logs"), "json").serialize("StartLiveTail", {"responseStream": iter(())}, "r")
    (event,) = _events(b"".join(response.body))  # type: ignore[arg-type]
    assert event.headers[":event-type"] == "initial-response"
