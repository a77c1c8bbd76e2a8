"""The metrics of AWS's XGBoost image, with the expressions that find them in the log. Computing them is evaluation.py's."""

from __future__ import annotations

import re

from kenja_worker.algorithms.metrics import Direction, Metric

# Names and directions: "Tune an XGBoost Model" of AWS's guide and the metric list of its open image.
MAXIMIZE = (
    *(
        "accuracy",
        "auc",
        "aucpr",
        "balanced_accuracy",
        "f1",
        "f1_binary",
        "f1_macro",
        "map",
        "ndcg",
        "pre",
        "precision",
    ),
    *(
        "precision_macro",
        "precision_micro",
        "r2",
        "recall",
        "recall_macro",
        "recall_micro",
    ),
    # The image lists this one among those to minimise; it is a share of right intervals, so more is better.
    "interval-regression-accuracy",
)
MINIMIZE = (
    *(
        "aft-nloglik",
        "cox-nloglik",
        "error",
        "gamma-deviance",
        "gamma-nloglik",
        "logloss",
        "mae",
        "mape",
        "merror",
    ),
    *("mlogloss", "mphe", "mse", "poisson-nloglik", "quantile", "rmse", "rmsle", "tweedie-nloglik"),
)
NAMES = MAXIMIZE + MINIMIZE
PARAMETERS = ("map", "ndcg", "pre", "tweedie-nloglik")  # printed with one even where none was given: ndcg@32


def maximizes(metric: str) -> bool:
    """Whether more of the metric is better. `metric` may carry a parameter: ndcg@5."""
    return metric.partition("@")[0] in MAXIMIZE


def _metric(dataset: str, name: str) -> Metric:
    direction: Direction = "Maximize" if name in MAXIMIZE else "Minimize"
    parameter = r"(?:@[^:\s]+)?" if name in PARAMETERS else ""
    # The round's number opens the line; a tab parts the values, which AWS's log agent shows as #011.
    regex = rf"\[[0-9]+\].*(?:\t|#011){dataset}-{re.escape(name)}{parameter}:(\S+?)(?=\t|#011|\s|$)"
    return Metric(f"{dataset}:{name}", regex, direction)


METRICS = tuple(_metric(dataset, name) for dataset in ("train", "validation") for name in NAMES)
