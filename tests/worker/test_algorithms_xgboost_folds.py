"""Cross-validation and checkpoints of the built-in XGBoost: folds, means, predictions of rows held out, going on after a stop."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy
import pytest
import sklearn.model_selection
import xgboost

from kenja_worker.algorithms import ClientError
from kenja_worker.algorithms.algorithm import Job
from kenja_worker.algorithms.xgboost.folds import Ensemble
from tests.worker.boosting import ALGORITHM, BINARY, body, channel, csv, table


def fit(folder: Path, given: dict[str, str], rows: numpy.ndarray, **surroundings: Any) -> tuple[Any, list[str]]:
    """A model of train and validation channels that together are the rows, in their order."""
    cut = len(rows) * 2 // 3
    channels = {
        "train": channel(folder, "train", csv(rows[:cut])),
        "validation": channel(folder, "validation", csv(rows[cut:])),
    }
    log: list[str] = []
    values = ALGORITHM.hyperparameters.parse({"num_round": "4", "nthread": "1", **given}).values
    return ALGORITHM.fit(values, Job(channels=channels, say=log.append, **surroundings)), log


@pytest.mark.parametrize(("kind", "given"), [("binary", BINARY), ("number", {"objective": "reg:squarederror"})])
def test_folds_are_those_of_scikit_learn_and_their_models_the_librarys(
    tmp_path: Path, kind: str, given: dict[str, str]
) -> None:
    rows = table(kind)
    model, log = fit(
        tmp_path, {**given, "_kfold": "3", "_num_cv_round": "2", "seed": "5"}, rows, output=tmp_path / "data"
    )
    assert isinstance(model, Ensemble)
    assert len(model.boosters) == 6
    stratified = kind == "binary"
    splitter = (
        sklearn.model_selection.RepeatedStratifiedKFold if stratified else sklearn.model_selection.RepeatedKFold
    )(n_splits=3, n_repeats=2, random_state=5)
    held_out, last = numpy.zeros((len(rows), 2)), []
    for number, (train, validation) in enumerate(splitter.split(rows, rows[:, 0])):
        scores: dict[str, Any] = {}
        matrices = [xgboost.DMatrix(rows[part, 1:], rows[part, 0], nthread=1) for part in (train, validation)]
        bare = xgboost.train(
            {**given, "seed": 5, "nthread": 1}, matrices[0], 4,
            evals=list(zip(matrices, ("train", "validation"), strict=True)), evals_result=scores, verbose_eval=False,
        )  # fmt: skip
        assert numpy.allclose(model.boosters[number].predict(matrices[1]), bare.predict(matrices[1]), atol=1e-5)
        held_out[validation, number // 3] = bare.predict(matrices[1])
        last.append(next(iter(scores["validation"].values()))[-1])
    reports = [line for line in log if line.startswith("[4]")]
    assert len(reports) == 3  # one a repetition, one over all
    for line, expected in zip(reports, (last[:3], last[3:], last), strict=True):
        assert float(re.search(r"validation-\S+?:(\S+)", line)[1]) == pytest.approx(numpy.mean(expected), abs=2e-5)  # type: ignore[index]
    assert float(log[-1].rpartition(" ")[2]) == pytest.approx(numpy.std(last), abs=2e-5)
    saved = numpy.loadtxt(tmp_path / "data" / "predictions.csv", delimiter=",")
    assert numpy.allclose(saved[:, 0], rows[:, 0], atol=1e-5)
    assert numpy.allclose(saved[:, 1], held_out.mean(axis=1), atol=1e-5)
    if stratified:
        both = (held_out > 0.5).sum(axis=1)
        assert numpy.array_equal(saved[both != 1, 2], (both == 2)[both != 1])


def test_an_ensemble_is_saved_loaded_and_answers_the_mean(tmp_path: Path) -> None:
    rows = table()
    model, _ = fit(tmp_path, {**BINARY, "_kfold": "3"}, rows)
    ALGORITHM.save(model, tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [f"xgboost-model-{n}" for n in range(3)]
    answers = ALGORITHM.predict(ALGORITHM.load(tmp_path / "model"), rows[:, 1:])
    each = [booster.predict(xgboost.DMatrix(rows[:, 1:])) for booster in model.boosters]
    assert numpy.allclose(answers, numpy.mean(each, axis=0), atol=1e-6)


def test_an_ensemble_of_classes_answers_the_most_frequent_one(tmp_path: Path) -> None:
    rows = table("classes")
    model, _ = fit(tmp_path, {"objective": "multi:softmax", "num_class": "3", "_kfold": "3"}, rows)
    each = numpy.array([booster.predict(xgboost.DMatrix(rows[:, 1:])) for booster in model.boosters]).astype(int)
    counts = numpy.array([numpy.bincount(each[:, row], minlength=3) for row in range(len(rows))])
    clear = counts.max(axis=1) > 1
    assert clear.any()
    assert numpy.array_equal(ALGORITHM.predict(model, rows[:, 1:])[clear], counts.argmax(axis=1)[clear])


@pytest.mark.parametrize(
    ("given", "named"),
    [({"_kfold": "301"}, "'_kfold' is 301, but there are only 300"), ({"_kfold": "200", **BINARY}, "'_kfold' is 200")],
)
def test_too_many_folds_are_refused(tmp_path: Path, given: dict[str, str], named: str) -> None:
    with pytest.raises(ClientError, match=named):
        fit(tmp_path, given, table())


def test_training_goes_on_from_the_newest_readable_checkpoint(tmp_path: Path) -> None:
    points = tmp_path / "points"
    points.mkdir()
    whole, _ = fit(tmp_path / "whole", {**BINARY, "num_round": "9"}, table())
    fit(tmp_path / "first", {**BINARY, "num_round": "6"}, table(), checkpoints=points)
    assert sorted(path.name for path in points.iterdir()) == [f"xgboost-checkpoint.{number}" for number in range(1, 6)]
    (points / "xgboost-checkpoint.5").write_bytes(b"")  # as a full disk leaves it
    (points / "xgboost-checkpoint.4").write_bytes(b"{rubbish")
    (points / "other").write_text("not ours")
    resumed, log = fit(tmp_path / "second", {**BINARY, "num_round": "9"}, table(), checkpoints=points)
    assert "Checkpoint loaded; resuming from iteration 4" in log
    assert [line.partition("\t")[0] for line in log if line.startswith("[")] == ["[4]", "[5]", "[6]", "[7]", "[8]"]
    assert body(resumed) == body(whole)
    done, log = fit(tmp_path / "third", {**BINARY, "num_round": "9"}, table(), checkpoints=points)
    assert body(done) == body(whole)
    assert not [line for line in log if line.startswith("[")]
