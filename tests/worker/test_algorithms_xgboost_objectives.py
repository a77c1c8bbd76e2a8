"""Every objective of the library through a job: its default metric, its scores and its predictions are the bare library's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy
import pytest
import xgboost

from kenja_worker.algorithms.algorithm import Job
from kenja_worker.algorithms.xgboost.objectives import MULTICLASS, OBJECTIVES, RANKING
from tests.worker.boosting import ALGORITHM, channel, csv, table

LABELS = {"binary": "binary", "multi": "classes", "rank": "binary", "count": "positive", "survival": "positive"}
NEEDED: dict[str, dict[str, Any]] = {
    "multi:softmax": {"num_class": 3},
    "multi:softprob": {"num_class": 3},
    "reg:quantileerror": {"quantile_alpha": [0.2, 0.8]},
}


def data_of(objective: str) -> numpy.ndarray:
    kind = {"reg:squarederror": "number", "reg:logistic": "binary"}.get(
        objective, LABELS.get(objective.partition(":")[0], "positive")
    )
    return table(kind)


def libsvm(rows: numpy.ndarray, group: int) -> bytes:
    """Rows in queries of `group` rows each; absent entries are missing."""
    lines = []
    for number, row in enumerate(rows):
        entries = (f"{place}:{value!r}" for place, value in enumerate(map(float, row[1:])) if not numpy.isnan(value))
        lines.append(f"{row[0]:g} qid:{number // group} {' '.join(entries)}")
    return "\n".join(lines).encode()


def matrices(objective: str, rows: numpy.ndarray, cut: int) -> list[xgboost.DMatrix]:
    made = []
    for part in (rows[:cut], rows[cut:]):
        groups = numpy.arange(len(part)) // 10 if objective in RANKING else None
        matrix = xgboost.DMatrix(part[:, 1:], part[:, 0], qid=groups, nthread=1)
        if objective == "survival:aft":
            for bound in ("label_lower_bound", "label_upper_bound"):
                matrix.set_float_info(bound, part[:, 0])
        made.append(matrix)
    return made


def test_the_table_has_every_objective_of_the_library() -> None:
    data = table()
    with pytest.raises(xgboost.core.XGBoostError) as refused:
        xgboost.train({"objective": "no:such"}, xgboost.DMatrix(data[:, 1:], data[:, 0]), 1)
    assert set(re.findall(r"Objective candidate: (\S+)", str(refused.value))) == set(OBJECTIVES)


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_objective_equals_the_bare_library(tmp_path: Path, objective: str) -> None:
    rows, cut = data_of(objective), 200
    needed = NEEDED.get(objective, {})
    if objective in RANKING:
        kind, data = "text/libsvm", [libsvm(rows[:cut], 10), libsvm(rows[cut:], 10)]
    else:
        kind, data = "text/csv", [csv(rows[:cut]), csv(rows[cut:])]
    channels = {
        name: channel(tmp_path, name, part, content_type=kind)
        for name, part in zip(("train", "validation"), data, strict=True)
    }
    given = {"num_round": "5", "max_depth": "3", "nthread": "1", "objective": objective}
    given |= {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in needed.items()
    }
    log: list[str] = []
    model = ALGORITHM.fit(ALGORITHM.hyperparameters.parse(given).values, Job(channels=channels, say=log.append))

    train, validation = matrices(objective, rows, cut)
    scores: dict[str, Any] = {}
    spelt = objective.replace("reg:linear", "reg:squarederror")  # the library's name for it today
    bare = xgboost.train(
        {"objective": spelt, "max_depth": 3, "nthread": 1, **needed}, train, 5,
        evals=[(train, "train"), (validation, "validation")], evals_result=scores, verbose_eval=False,
    )  # fmt: skip
    assert list(scores["validation"]) == [OBJECTIVES[objective].metric]
    last = next(line for line in log if line.startswith("[4]"))
    for name in ("train", "validation"):
        said = re.search(rf"\t{name}-{re.escape(OBJECTIVES[objective].metric)}:(\S+)", last)
        assert said, last
        assert float(said[1]) == pytest.approx(scores[name][OBJECTIVES[objective].metric][-1], abs=2e-5)
    expected = bare.predict(xgboost.DMatrix(rows[cut:, 1:]))
    assert numpy.allclose(ALGORITHM.predict(model, rows[cut:, 1:]), expected, atol=1e-5)
    assert len(numpy.unique(expected)) > 1
    read = {metric.name for metric in ALGORITHM.metrics if re.search(metric.regex, last)}
    base = OBJECTIVES[objective].metric.partition("@")[0]
    assert read == {f"train:{base}", f"validation:{base}"}


METRICS = {
    "number": ["rmse", "rmsle", "mae", "mape", "mphe", "gamma-nloglik", "gamma-deviance", "poisson-nloglik"],
    "binary": ["logloss", "error", "error@0.7", "auc", "aucpr", "ndcg", "ndcg@5", "map@3", "pre@3", "ndcg@5-"],
    "classes": ["merror", "mlogloss", "auc"],
}


@pytest.mark.parametrize(("kind", "metric"), [(kind, name) for kind, names in METRICS.items() for name in names])
def test_eval_metric_equals_the_bare_library(tmp_path: Path, kind: str, metric: str) -> None:
    objective = {"number": "count:poisson", "binary": "binary:logistic", "classes": MULTICLASS[1]}[kind]
    rows = table("positive" if kind == "number" else kind)
    needed = NEEDED.get(objective, {})
    given = {"num_round": "3", "nthread": "1", "objective": objective, "eval_metric": metric}
    given |= {name: str(value) for name, value in needed.items()}
    log: list[str] = []
    train = channel(tmp_path, "train", csv(rows))
    ALGORITHM.fit(ALGORITHM.hyperparameters.parse(given).values, Job(channels={"train": train}, say=log.append))
    scores: dict[str, Any] = {}
    matrix = xgboost.DMatrix(rows[:, 1:], rows[:, 0], nthread=1)
    bare = {"objective": objective, "eval_metric": metric, "nthread": 1, **needed}
    xgboost.train(bare, matrix, 3, evals=[(matrix, "train")], evals_result=scores, verbose_eval=False)
    ((name, values),) = scores["train"].items()
    said = re.search(rf"\ttrain-{re.escape(name)}:(\S+)", log[-1])
    assert said, log[-1]
    assert float(said[1]) == pytest.approx(values[-1], abs=2e-5)


def test_weights_of_libsvm_rows_and_of_queries_reach_the_library(tmp_path: Path) -> None:
    rows = table()[:60]
    weights = 1.0 + numpy.arange(60) // 10
    plain = libsvm(rows, 10).split(b"\n")
    weighted = b"\n".join(line.replace(b" ", b":%g " % weight, 1) for line, weight in zip(plain, weights, strict=True))
    for objective, data, per_group in (
        ("rank:ndcg", weighted, True),
        ("binary:logistic", re.sub(rb" qid:\d+", b"", weighted), False),
    ):
        train = channel(tmp_path / objective, "train", data, content_type="text/libsvm")
        values = ALGORITHM.hyperparameters.parse({"num_round": "4", "nthread": "1", "objective": objective}).values
        model = ALGORITHM.fit(values, Job(channels={"train": train}, say=lambda line: None))
        groups = numpy.arange(60) // 10 if per_group else None
        matrix = xgboost.DMatrix(
            rows[:, 1:], rows[:, 0], qid=groups, weight=weights[::10] if per_group else weights, nthread=1
        )
        bare = xgboost.train({"objective": objective, "nthread": 1}, matrix, 4)
        assert numpy.allclose(
            ALGORITHM.predict(model, rows[:, 1:]), bare.predict(xgboost.DMatrix(rows[:, 1:])), atol=1e-5
        )
        without = xgboost.train(
            {"objective": objective, "nthread": 1}, xgboost.DMatrix(rows[:, 1:], rows[:, 0], qid=groups), 4
        )
        assert json.loads(without.save_raw("json"))["learner"] != json.loads(bare.save_raw("json"))["learner"]
