"""XGBoost: boosted trees or linear models, by the xgboost library, behind AWS's built-in algorithm's names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.algorithm import Algorithm, Example, Job
from kenja_worker.algorithms.hyperparameters import Values
from kenja_worker.algorithms.xgboost.example import EXAMPLE
from kenja_worker.algorithms.xgboost.hyperparameters import HYPERPARAMETERS
from kenja_worker.algorithms.xgboost.metrics import METRICS

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

__all__ = ["algorithm"]


class XGBoost:
    """See `Algorithm`. A model is an `xgboost.Booster`."""

    name = "xgboost"
    hyperparameters = HYPERPARAMETERS
    metrics = METRICS

    def fit(self, values: Values, job: Job) -> Any:
        from kenja_worker.algorithms.xgboost.training import fit

        return fit(values, job)

    def save(self, model: Any, folder: Path) -> None:
        from kenja_worker.algorithms.xgboost.model import save

        save(model, folder)

    def load(self, folder: Path) -> Any:
        from kenja_worker.algorithms.xgboost.model import load

        return load(folder)

    def predict(self, model: Any, rows: Array) -> Array:
        from kenja_worker.algorithms.xgboost.model import predict

        return predict(model, rows)

    def example(self) -> Example:
        return EXAMPLE


algorithm: Algorithm = XGBoost()
