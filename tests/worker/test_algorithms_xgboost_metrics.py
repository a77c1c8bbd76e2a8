"""What the built-in XGBoost prints, computes and stops by: default metrics, AWS's own metrics, early stopping."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sklearn.metrics

from kenja_worker.algorithms import ClientError
from tests.worker.boosting import ALGORITHM, BINARY, fit, table


def test_one_log_line_a_round_is_read_by_the_metric_table(tmp_path: Path) -> None:
    model, log = fit(tmp_path, {**BINARY, "eval_metric": "logloss,auc,error@0.3", "num_round": "4"})
    lines = [line for line in log if line.startswith("[")]
    assert len(lines) == 4
    number = r"\d+\.\d{5}"
    names = ("logloss", "auc", "error@0.3")
    parts = [rf"{data}-{name}:{number}" for data in ("train", "validation") for name in names]
    assert re.fullmatch(r"\[3\]\t" + r"\t".join(parts), lines[3])
    rows = table()[200:]
    expected = sklearn.metrics.roc_auc_score(rows[:, 0], ALGORITHM.predict(model, rows[:, 1:]))
    for line in (lines[3], lines[3].replace("\t", "#011")):
        found = {metric.name: re.search(metric.regex, line) for metric in ALGORITHM.metrics}
        assert {name for name, match in found.items() if match} == {
            "train:logloss", "train:auc", "validation:logloss", "validation:auc",
        }  # fmt: skip
        assert float(found["validation:auc"][1]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("objective", "metric"),
    [
        ("reg:squarederror", "rmse"), ("binary:logistic", "logloss"), ("multi:softprob", "mlogloss"),
        ("count:poisson", "poisson-nloglik"), ("reg:gamma", "gamma-deviance"), ("reg:tweedie", "tweedie-nloglik"),
        ("rank:ndcg", "ndcg"), ("survival:cox", "cox-nloglik"), ("survival:aft", "aft-nloglik"), ("reg:linear", "rmse"),
        ("reg:squaredlogerror", "rmsle"), ("reg:pseudohubererror", "mphe"), ("reg:absoluteerror", "mae"),
        ("binary:hinge", "error"), ("binary:logitraw", "logloss"), ("multi:softmax", "mlogloss"),
        ("reg:logistic", "rmse"), ("rank:pairwise", "ndcg"), ("rank:map", "map"),
    ],
)  # fmt: skip
def test_every_objective_trains_with_its_default_metric(tmp_path: Path, objective: str, metric: str) -> None:
    kinds = {"multi": "classes", "binary": "binary", "rank": "binary"}
    data = table("binary" if objective == "reg:logistic" else kinds.get(objective.partition(":")[0], "positive"))
    given = {"objective": objective} | ({"num_class": "3"} if objective.startswith("multi") else {})
    model, log = fit(tmp_path, given, data)
    last = [line for line in log if line.startswith("[")][-1]
    values = {one.name: re.search(one.regex, last) for one in ALGORITHM.metrics}
    assert values[f"validation:{metric}"], last
    answers = ALGORITHM.predict(model, data[:5, 1:])
    assert answers.shape == ((5, 3) if objective == "multi:softprob" else (5,))


@pytest.mark.parametrize("classes", [2, 3])
def test_metrics_of_aws_beside_the_librarys_equal_scikit_learns(tmp_path: Path, classes: int) -> None:
    names = ["accuracy", "balanced_accuracy", "f1", "f1_macro", "precision_macro", "precision_micro", "recall_macro"]
    names += ["recall_micro"] + (["f1_binary", "precision", "recall"] if classes == 2 else [])
    objective = BINARY if classes == 2 else {"objective": "multi:softprob", "num_class": "3"}
    data = table("binary" if classes == 2 else "classes")
    model, log = fit(tmp_path, {**objective, "eval_metric": ",".join(names), "num_round": "2"}, data)
    last = [line for line in log if line.startswith("[")][-1]
    held_out = data[200:]
    answers = ALGORITHM.predict(model, held_out[:, 1:])
    predicted = (answers > 0.5).astype(float) if classes == 2 else answers.argmax(axis=1)
    kinds = {
        "f1": sklearn.metrics.f1_score,
        "precision": sklearn.metrics.precision_score,
        "recall": sklearn.metrics.recall_score,
    }
    for name in names:
        base, _, average = name.partition("_")
        if base in kinds:
            average = average or ("macro" if name == "f1" else "binary")
            expected = kinds[base](held_out[:, 0], predicted, average=average)
        else:
            expected = getattr(sklearn.metrics, f"{name}_score")(held_out[:, 0], predicted)
        metric = next(one for one in ALGORITHM.metrics if one.name == f"validation:{name}")
        assert float(re.search(metric.regex, last)[1]) == pytest.approx(expected, abs=1e-5), name


def test_metrics_of_numbers_equal_scikit_learns(tmp_path: Path) -> None:
    data = table("number")
    model, log = fit(tmp_path, {"eval_metric": "mse,r2", "num_round": "3"}, data)
    answers = ALGORITHM.predict(model, data[200:, 1:])
    found = dict(re.findall(r"validation-(\w+):(\S+)", log[-1]))
    assert float(found["mse"]) == pytest.approx(sklearn.metrics.mean_squared_error(data[200:, 0], answers), abs=1e-4)
    assert float(found["r2"]) == pytest.approx(sklearn.metrics.r2_score(data[200:, 0], answers), abs=1e-4)


def test_the_metric_of_a_tuning_job_is_printed(tmp_path: Path) -> None:
    _, log = fit(tmp_path, {**BINARY, "_tuning_objective_metric": "validation:auc", "eval_metric": "logloss"})
    assert "validation-auc:" in log[-1]
    assert "validation-logloss:" in log[-1]


@pytest.mark.parametrize("metric", ["logloss", "auc", "accuracy"])
def test_early_stopping_keeps_the_best_round(tmp_path: Path, metric: str) -> None:
    given = {**BINARY, "eval_metric": metric, "num_round": "200", "early_stopping_rounds": "5", "eta": "0.5"}
    model, log = fit(tmp_path, given)
    scores = [float(re.search(rf"validation-{metric}:(\S+)", line)[1]) for line in log if line.startswith("[")]
    assert len(scores) < 200
    best = min(scores) if metric == "logloss" else max(scores)
    assert scores.index(best) + 1 == model.num_boosted_rounds() == len(scores) - 5


def test_early_stopping_without_validation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="validation channel"):
        fit(tmp_path, {"early_stopping_rounds": "3"}, validation=False)
