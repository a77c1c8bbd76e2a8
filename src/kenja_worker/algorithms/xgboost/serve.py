"""Serving a booster: what the model server asks of it. Formats are tabular.py's, predictions model.py's and onnx.py's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.errors import ClientError
from kenja_worker.algorithms.xgboost import model, onnx, requests
from kenja_worker.algorithms.xgboost.folds import Ensemble
from kenja_worker.algorithms.xgboost.selection import Selection
from kenja_worker.modelserver import graphs, tabular
from kenja_worker.modelserver.handler import Answer, Handler, Invocation, Refused
from kenja_worker.modelserver.upgrade import Upgrade

if TYPE_CHECKING:
    from collections.abc import Callable

    from kenja_worker.algorithms.algorithm import Array

FEW_ROWS = (
    192  # up to here ONNX Runtime is faster (measured: 11 µs instead of 240 for one row, equal at 200 to 250 rows)
)


class XGBoostHandler:
    """See `Handler`."""

    def __init__(self, booster: Any) -> None:
        self._booster = booster
        self._width = model.width_of(booster)
        self._selection = Selection.of(os.environ, *model.traits(booster))
        self._few: Callable[[Array], Array] | None = None

    def decode(self, invocation: Invocation) -> Array:
        return requests.decode(invocation, self._width)

    def join(self, batch: list[Array]) -> Array:
        import numpy

        return numpy.concatenate(batch)

    def predict(self, rows: Array) -> Array:
        if self._few is not None and len(rows) <= FEW_ROWS:
            return self._few(rows)
        try:
            return model.predict(self._booster, rows)
        except ClientError as error:
            raise Refused(400, str(error.args[0])) from error

    def encode(self, answers: Array, invocation: Invocation) -> Answer:
        if self._selection is not None:
            return self._selection.encode(answers, invocation)
        return tabular.encode(answers, invocation)

    def upgrade(self) -> Upgrade | None:
        if isinstance(self._booster, Ensemble):
            return None
        return Upgrade(lambda: converted(self._booster), self._take)

    def _take(self, graph: bytes) -> str:
        self._few = predictor(self._booster, graph)
        return f"up to {FEW_ROWS} rows at once are answered by ONNX Runtime"


def converted(booster: Any) -> bytes:
    """The booster's graph, proved on rows about its own thresholds. Raises Unconverted."""
    import xgboost

    graph, rows = onnx.convert(booster), onnx.samples(booster)
    matrix, rounds = xgboost.DMatrix(rows, nthread=1), model.rounds_of(booster)
    margins = booster.predict(matrix, output_margin=True, iteration_range=rounds, validate_features=False)
    graphs.prove(graphs.open_graph(graph), rows, margins.reshape(len(rows), -1))
    graphs.prove(predictor(booster, graph), rows, model.predict(booster, rows))
    return graph


def predictor(booster: Any, graph: bytes) -> Callable[[Array], Array]:
    """What `model.predict` gives, by the graph."""
    run, finish = graphs.open_graph(graph), onnx.transform(booster)
    return lambda rows: finish(run(rows))


def open_handler(folder: Path) -> Handler:
    """Load the model below `folder`. Raises ClientError when there is none."""
    return XGBoostHandler(model.load(folder))
