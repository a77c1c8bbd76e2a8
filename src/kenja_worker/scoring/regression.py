"""Regression metrics from true and predicted numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing

    Numbers = numpy.typing.NDArray[Any]  # (rows,)


def mean_squared_error(truth: Numbers, answer: Numbers) -> float:
    """Mean of the squared differences, in squared units of the target."""
    return float(((truth - answer) ** 2).mean())


def r2(truth: Numbers, answer: Numbers) -> float:
    """Share of the variance that is explained; 1 is perfect, 0 is the mean. A constant truth gives 1 or 0."""
    unexplained = float(((truth - answer) ** 2).sum())
    total = float(((truth - truth.mean()) ** 2).sum())
    if total == 0.0:
        return 1.0 if unexplained == 0.0 else 0.0
    return 1.0 - unexplained / total
