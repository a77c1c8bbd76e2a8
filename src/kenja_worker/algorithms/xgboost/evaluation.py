"""Evaluation during training: metrics that AWS's image adds to the library's, and the line per round in AWS's form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.errors import ClientError
from kenja_worker.scoring import classification, regression

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

_Score = Callable[["Array", "Array"], float]

_BINARY = ("f1_binary", "precision", "recall")
_CLASSES: dict[str, _Score] = {
    "accuracy": classification.accuracy,
    "balanced_accuracy": classification.balanced_accuracy,
    "f1": partial(classification.f1, average="macro"),
    "f1_binary": partial(classification.f1, average="binary"),
    "f1_macro": partial(classification.f1, average="macro"),
    "precision": partial(classification.precision, average="binary"),
    "precision_macro": partial(classification.precision, average="macro"),
    "precision_micro": partial(classification.precision, average="micro"),
    "recall": partial(classification.recall, average="binary"),
    "recall_macro": partial(classification.recall, average="macro"),
    "recall_micro": partial(classification.recall, average="micro"),
}
_NUMBERS: dict[str, _Score] = {
    "mse": regression.mean_squared_error,
    "r2": regression.r2,
}


def split(metrics: tuple[str, ...], objective: str) -> tuple[list[str], list[str]]:
    """Metrics that the library computes, and those computed here. Raises ClientError where objective and metric differ."""
    own = [name for name in metrics if name in _CLASSES or name in _NUMBERS]
    for name in own:
        if name in _CLASSES and not objective.startswith(("binary:", "multi:")):
            raise ClientError(f"Metric '{name}' is for classification; the objective is {objective}.")
        if name in _BINARY and objective.startswith("multi:"):
            raise ClientError(f"Metric '{name}' is for two classes; the objective is {objective}. Use a _macro metric.")
    return [name for name in metrics if name not in own], own


def score(names: Sequence[str], objective: str) -> Callable[[Array, Any], list[tuple[str, float]]]:
    """The library's `custom_metric` for these names: (predictions, DMatrix) → one pair for each."""

    def evaluate(predictions: Array, matrix: Any) -> list[tuple[str, float]]:
        truth = matrix.get_label()
        answer = _classes(predictions, objective) if objective.startswith(("binary:", "multi:")) else predictions
        return [(name, (_CLASSES.get(name) or _NUMBERS[name])(truth, answer)) for name in names]

    return evaluate


def _classes(predictions: Array, objective: str) -> Array:
    """Class numbers from what the objective predicts: probabilities, margins, or classes already."""
    import numpy

    if predictions.ndim == 2:
        return numpy.asarray(numpy.argmax(predictions, axis=1))
    if objective in ("multi:softmax", "binary:hinge"):
        return predictions
    threshold = 0.0 if objective == "binary:logitraw" else 0.5
    return numpy.asarray(predictions > threshold, dtype=predictions.dtype)


def line(round_number: int, scores: dict[str, dict[str, list[float]]]) -> str:
    """`[3]<tab>train-rmse:0.12345<tab>validation-rmse:0.23456`: what the metrics' expressions read."""
    latest = (
        f"{dataset}-{name}:{values[-1]:.5f}" for dataset, metrics in scores.items() for name, values in metrics.items()
    )
    return "\t".join((f"[{round_number}]", *latest))
