"""Selected answers (SAGEMAKER_INFERENCE_OUTPUT): labels, probabilities and scores by name, in four media types. Predicts nothing."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.errors import ClientError
from kenja_worker.algorithms.xgboost.objectives import OBJECTIVES
from kenja_worker.modelserver.handler import Answer, Invocation, Refused

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

WANTED = "SAGEMAKER_INFERENCE_OUTPUT"  # names, comma-separated; a variable of the model's environment
ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"  # for requests that accept anything
NAMES = (
    "predicted_label", "labels", "probability", "probabilities", "raw_score", "raw_scores", "predicted_score",
)  # fmt: skip
CSV, JSON, LINES, RECORDIO = (
    "text/csv", "application/json", "application/jsonlines", "application/x-recordio-protobuf",
)  # fmt: skip
_ANY = ("", "*/*", "text/*", "application/*")


@dataclass(frozen=True)
class Selection:
    """What the environment asks for, checked against the model's objective."""

    names: tuple[str, ...]
    objective: str
    classes: int
    accept: str = CSV

    @classmethod
    def of(cls, environment: Mapping[str, str], objective: str, classes: int) -> Selection | None:
        """None where nothing is selected. Raises ClientError for names that are none, and objectives that have none."""
        names = tuple(environment.get(WANTED, "").replace(" ", "").lower().split(","))
        if names == ("",):
            return None
        unknown = [name for name in names if name not in NAMES]
        if unknown:
            raise ClientError(f"{WANTED} names {', '.join(unknown)}; there are {', '.join(NAMES)}.")
        if not OBJECTIVES[objective].selectable:
            raise ClientError(f"{WANTED} is set, but models of the objective {objective} have no selectable answers.")
        return cls(names, objective, classes, environment.get(ACCEPT, CSV).lower())

    def encode(self, answers: Array, invocation: Invocation) -> Answer:
        """Raises Refused 406."""
        accept = self.accept if invocation.accept in _ANY else invocation.accept
        rows = [self._row(answer) for answer in answers.tolist()]
        match accept:
            case "application/json":
                return Answer(json.dumps({"predictions": rows}).encode(), JSON)
            case "application/jsonlines":
                return Answer(b"".join(json.dumps(row).encode() + b"\n" for row in rows), LINES)
            case "text/csv":
                return Answer(self._csv(rows), "text/csv; charset=utf-8")
            case "application/x-recordio-protobuf":
                return Answer(_recordio(rows), RECORDIO)
        raise Refused(406, f"Accept {accept} is not supported; supported are {CSV}, {JSON}, {LINES} and {RECORDIO}.")

    def _row(self, answer: Any) -> dict[str, Any]:
        """By name, in the order asked for; null where the objective knows no such answer, as AWS's image has nan."""
        allowed = OBJECTIVES[self.objective].selectable
        return {name: self._value(name, answer) if name in allowed else None for name in self.names}

    def _value(self, name: str, answer: Any) -> Any:
        several = isinstance(answer, list)
        match name:
            case "predicted_label":
                return self._label(answer)
            case "labels":
                return list(range(max(2, self.classes)))
            case "probability" | "raw_score":
                return max(answer) if several else answer
            case "probabilities" | "raw_scores":
                return answer if several else [1.0 - answer, answer]
        return answer

    def _label(self, answer: Any) -> Any:
        match self.objective:
            case "multi:softprob":
                return answer.index(max(answer))
            case "binary:logistic":
                return int(answer > 0.5)
            case "binary:logitraw":
                return int(answer > 0)
        return answer

    def _csv(self, rows: list[dict[str, Any]]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text)
        for row in rows:
            writer.writerow(["nan" if value is None else value for value in row.values()])
        return text.getvalue().encode()


def _recordio(rows: list[dict[str, Any]]) -> bytes:
    import numpy

    from kenja_worker.algorithms.channels import record, recordio

    def tensor(value: Any) -> record.Tensor:
        numbers = value if isinstance(value, list) else [math.nan if value is None else value]
        return record.Tensor(numpy.array(numbers, dtype=numpy.float32))

    return b"".join(
        recordio.frame(record.encode({}, {name: tensor(value) for name, value in row.items()})) for row in rows
    )
