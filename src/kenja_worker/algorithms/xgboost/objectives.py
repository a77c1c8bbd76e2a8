"""Every objective of the library as data: its default metric, the labels it takes, what a selected answer may hold. Computes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Labels = Literal["any", "share", "class", "time"]

_SCORE = ("predicted_score",)
_LABEL = ("predicted_label", "labels")
_RAW = ("raw_score", "raw_scores")
_PROBABILITY = ("probability", "probabilities")


@dataclass(frozen=True)
class Objective:
    """`metric` is the name that the library prints when no eval_metric is given; `selectable` what AWS's image can answer.

    `labels`: any number; a share between 0 and 1; a class number below num_class; a time, known exactly.
    """

    name: str
    metric: str
    labels: Labels = "any"
    selectable: tuple[str, ...] = ()


# Names and default metrics: "XGBoost Parameters, Learning Task Parameters" of the library's documentation, as of 3.2.
# Selectable answers: "Inference container definitions" of AWS's guide and the table of its open image.
OBJECTIVES = {
    entry.name: entry
    for entry in (
        Objective("binary:hinge", "error", "share", (*_LABEL, *_PROBABILITY, *_RAW)),
        Objective("binary:logistic", "logloss", "share", (*_LABEL, *_PROBABILITY, *_RAW)),
        Objective("binary:logitraw", "logloss", "share", (*_LABEL, *_RAW)),
        Objective("count:poisson", "poisson-nloglik"),
        Objective("multi:softmax", "mlogloss", "class", _LABEL),
        Objective("multi:softprob", "mlogloss", "class", (*_LABEL, *_PROBABILITY, *_RAW)),
        Objective("rank:map", "map@32"),
        Objective("rank:ndcg", "ndcg@32"),
        Objective("rank:pairwise", "ndcg@32"),
        Objective("reg:absoluteerror", "mae"),
        Objective("reg:gamma", "gamma-deviance", selectable=_SCORE),
        Objective("reg:linear", "rmse", selectable=_SCORE),
        Objective("reg:logistic", "rmse", "share", _SCORE),
        Objective("reg:pseudohubererror", "mphe"),
        Objective("reg:quantileerror", "quantile"),
        Objective("reg:squarederror", "rmse", selectable=_SCORE),
        Objective("reg:squaredlogerror", "rmsle"),
        Objective("reg:tweedie", "tweedie-nloglik@1.5", selectable=_SCORE),
        Objective("survival:aft", "aft-nloglik", "time"),
        Objective("survival:cox", "cox-nloglik"),
    )
}
DEFAULT = "reg:squarederror"
MULTICLASS = ("multi:softmax", "multi:softprob")
RANKING = ("rank:map", "rank:ndcg", "rank:pairwise")
