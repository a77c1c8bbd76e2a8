"""Serving a booster: what the model server asks of it. Formats are tabular.py's, predictions model.py's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.errors import ClientError
from kenja_worker.algorithms.xgboost import model
from kenja_worker.modelserver import tabular
from kenja_worker.modelserver.handler import Answer, Handler, Invocation, Refused

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array


class XGBoostHandler:
    """See `Handler`."""

    def __init__(self, booster: Any) -> None:
        self._booster = booster
        self._width = booster.num_features()

    def decode(self, invocation: Invocation) -> Array:
        rows = tabular.decode(invocation)
        if rows.shape[1] != self._width:
            raise Refused(400, f"Each row has {rows.shape[1]} features; the model was trained with {self._width}.")
        return rows

    def join(self, batch: list[Array]) -> Array:
        import numpy

        return numpy.concatenate(batch)

    def predict(self, rows: Array) -> Array:
        try:
            return model.predict(self._booster, rows)
        except ClientError as error:
            raise Refused(400, str(error.args[0])) from error

    def encode(self, answers: Array, invocation: Invocation) -> Answer:
        return tabular.encode(answers, invocation)


def open_handler(folder: Path) -> Handler:
    """Load the model below `folder`. Raises ClientError when there is none."""
    return XGBoostHandler(model.load(folder))
