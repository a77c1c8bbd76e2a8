"""Answering all waiting requests in as few predictions as possible; one bad request never harms another."""

from __future__ import annotations

import functools
import sys
import traceback
from typing import Any

from kenja_worker.modelserver.frames import Frame, Kind
from kenja_worker.modelserver.handler import Answer, Handler, Invocation, Refused

MAX_BATCH = 65_536  # rows of one prediction, so that memory stays bounded however many requests wait


def answer_all(handler: Handler, requests: list[Frame]) -> list[Frame]:
    """One answer for each request, in order; a ping gets a pong. Never raises for what a request holds."""
    answers: dict[int, Frame] = {}
    batch: list[tuple[int, Frame, Invocation, Any]] = []
    waiting = 0
    for position, request in enumerate(requests):
        if request.kind is Kind.PING:
            answers[position] = Frame(request.id, Kind.PONG, status=200)
            continue
        try:
            invocation = _invocation(request)
            rows = handler.decode(invocation)
        except Exception as error:  # whatever a request does to a handler, the server lives on
            answers[position] = _failure(request, error)
            continue
        if batch and waiting + len(rows) > MAX_BATCH:
            _answer_batch(handler, batch, answers)
            batch, waiting = [], 0
        batch.append((position, request, invocation, rows))
        waiting += len(rows)
    if batch:
        _answer_batch(handler, batch, answers)
    return [answers[position] for position in range(len(requests))]


def _answer_batch(handler: Handler, batch: list[tuple[int, Frame, Invocation, Any]], answers: dict[int, Frame]) -> None:
    try:
        rows = batch[0][3] if len(batch) == 1 else handler.join([entry[3] for entry in batch])
        predictions = handler.predict(rows)
    except Exception as error:  # see above
        if len(batch) == 1:
            answers[batch[0][0]] = _failure(batch[0][1], error)
        else:
            for entry in batch:
                _answer_batch(handler, [entry], answers)
        return
    start = 0
    for position, request, invocation, part in batch:
        end = start + len(part)
        try:
            answers[position] = _frame(request, handler.encode(predictions[start:end], invocation))
        except Exception as error:  # see above
            answers[position] = _failure(request, error)
        start = end


def _invocation(request: Frame) -> Invocation:
    return Invocation(
        request.body,
        _media_type(request.content_type),
        _media_type(request.accept),
        request.custom_attributes.decode("latin-1"),
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers),
    )


@functools.lru_cache(maxsize=64)
def _media_type(text: bytes) -> str:
    """The first media type, lower-case, without its parameters."""
    return text.partition(b",")[0].partition(b";")[0].strip().lower().decode("latin-1")


def _frame(request: Frame, answer: Answer) -> Frame:
    return Frame(request.id, Kind.ANSWER, answer.body, answer.content_type.encode("latin-1"), status=answer.status)


def _failure(request: Frame, error: Exception) -> Frame:
    if isinstance(error, Refused):
        return _frame(request, Answer(error.message.encode(), "text/plain; charset=utf-8", error.status))
    traceback.print_exception(error, file=sys.stderr)
    message = f"The model failed on this request: {type(error).__name__}: {error}"
    return _frame(request, Answer(message[:2000].encode(), "text/plain; charset=utf-8", 500))
