"""Classification metrics from true and predicted classes. Probabilities and thresholds are the caller's.

Definitions as in scikit-learn: where a class was never predicted, its precision counts as 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing

    Classes = numpy.typing.NDArray[Any]  # (rows,)

Average = Callable[["Classes"], float]


def accuracy(truth: Classes, answer: Classes) -> float:
    """Share of rows whose class is right."""
    return float((truth == answer).mean())


def balanced_accuracy(truth: Classes, answer: Classes) -> float:
    """Mean recall over the classes that occur in the truth."""
    import numpy

    present = numpy.unique(truth)
    return float(numpy.mean([(answer[truth == label] == label).mean() for label in present]))


def precision(truth: Classes, answer: Classes, *, average: str) -> float:
    """average: binary (class 1), macro or micro."""
    right, predicted, _ = _counts(truth, answer, average)
    return _mean_ratio(right, predicted)


def recall(truth: Classes, answer: Classes, *, average: str) -> float:
    """average: binary (class 1), macro or micro."""
    right, _, actual = _counts(truth, answer, average)
    return _mean_ratio(right, actual)


def f1(truth: Classes, answer: Classes, *, average: str) -> float:
    """Harmonic mean of precision and recall. average: binary (class 1), macro or micro."""
    right, predicted, actual = _counts(truth, answer, average)
    return _mean_ratio(2 * right, predicted + actual)


def _counts(truth: Classes, answer: Classes, average: str) -> tuple[Classes, Classes, Classes]:
    """Right answers, predictions and true rows of each class that counts."""
    import numpy

    labels = numpy.array([1.0]) if average == "binary" else numpy.union1d(truth, answer)
    right = numpy.array([((truth == label) & (answer == label)).sum() for label in labels], dtype=float)
    predicted = numpy.array([(answer == label).sum() for label in labels], dtype=float)
    actual = numpy.array([(truth == label).sum() for label in labels], dtype=float)
    if average == "micro":
        return (
            right.sum(keepdims=True),
            predicted.sum(keepdims=True),
            actual.sum(keepdims=True),
        )
    return right, predicted, actual


def _mean_ratio(part: Classes, whole: Classes) -> float:
    import numpy

    return float(numpy.divide(part, whole, out=numpy.zeros_like(part), where=whole > 0).mean())
