"""A booster, or those of all folds, on disk and their predictions. Only data formats of the library are read, never a pickle."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.errors import ClientError
from kenja_worker.algorithms.xgboost.folds import Ensemble
from kenja_worker.algorithms.xgboost.reasons import reason

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

FILE = "xgboost-model"  # the name that AWS's image writes and reads
CLASSES = ("binary:hinge", "multi:softmax")  # objectives whose predictions are classes already
_MANY_ROWS = 2048  # from here on a second thread gains more than it costs (measured: 0.2 ms to wake one)


def save(model: Any, folder: Path) -> None:
    """Write the model as UBJSON, atomically; an ensemble as one file for each of its boosters, as AWS's image does."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, Ensemble):
        for number, booster in enumerate(model.boosters):
            save_as(booster, folder / f"{FILE}-{number}")
    else:
        save_as(model, folder / FILE)


def save_as(booster: Any, path: Path) -> None:
    """One booster in one file: whole, or not there."""
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as file:
        file.write(booster.save_raw("ubj"))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(folder: Path) -> Any:
    """Read `xgboost-model`, or the folder's only file when a user named it otherwise; an Ensemble from `xgboost-model-0` on."""
    numbered = itertools.takewhile(Path.is_file, (folder / f"{FILE}-{number}" for number in itertools.count()))
    boosters = tuple(_load_one(path) for path in numbered)
    if boosters:
        return Ensemble(boosters)
    return _load_one(_model_file(folder))


def _load_one(path: Path) -> Any:
    import xgboost

    data = path.read_bytes()
    if data[:1] == b"\x80":
        raise ClientError(f"{path.name} is a pickle, which may run any code and is not loaded; use Booster.save_model.")
    if data[:1] != b"{":  # checked here because the library aborts the process on an empty file
        raise ClientError(
            f"{path.name} is not a model in XGBoost's JSON or UBJSON form, as Booster.save_model writes it."
        )
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(data))
    except xgboost.core.XGBoostError as error:
        raise ClientError(
            f"{path.name} is not a model that XGBoost {xgboost.__version__} reads: {reason(error)}"
        ) from error
    booster.set_param({"nthread": 1})
    return booster


def _model_file(folder: Path) -> Path:
    path = folder / FILE
    if path.is_file():
        return path
    files = [entry for entry in sorted(folder.glob("*")) if entry.is_file() and not entry.name.startswith(".")]
    if len(files) != 1:
        found = ", ".join(entry.name for entry in files) or "nothing"
        raise ClientError(f"The model folder holds no file '{FILE}' and not one file only; it holds {found}.")
    return files[0]


def width_of(model: Any) -> int:
    """Features of a row."""
    return int((model.boosters[0] if isinstance(model, Ensemble) else model).num_features())


def traits(model: Any) -> tuple[str, int]:
    """(objective, classes); the classes are 0 where the objective knows none."""
    booster = model.boosters[0] if isinstance(model, Ensemble) else model
    learner = json.loads(booster.save_config())["learner"]
    return learner["objective"]["name"], int(learner["learner_model_param"]["num_class"])


def predict(model: Any, rows: Array) -> Array:
    """See `Algorithm.predict`. An ensemble answers the mean, or the most frequent class where its boosters answer classes."""
    if not isinstance(model, Ensemble):
        return _predict_one(model, rows)
    import numpy

    answers = numpy.stack([_predict_one(booster, rows) for booster in model.boosters])
    if traits(model)[0] not in CLASSES:
        means: Array = answers.mean(axis=0, dtype=numpy.float32)
        return means
    votes = numpy.stack([(answers == answer).sum(axis=0) for answer in numpy.unique(answers)])
    winners: Array = numpy.unique(answers)[votes.argmax(axis=0)]
    return winners


def _predict_one(model: Any, rows: Array) -> Array:
    import numpy
    import xgboost

    width = model.num_features()
    if rows.ndim != 2 or rows.shape[1] != width:
        given = rows.shape[1] if rows.ndim == 2 else 0
        raise ClientError(f"Each row has {given} features; the model was trained with {width}.")
    rounds = rounds_of(model)
    if len(rows) >= _MANY_ROWS:
        return _predict_on_all_cores(model, rows, rounds)
    try:
        answers = model.inplace_predict(rows, iteration_range=rounds, validate_features=False)
    except xgboost.core.XGBoostError:  # gblinear has no in-place prediction
        answers = model.predict(xgboost.DMatrix(rows), iteration_range=rounds, validate_features=False)
    return numpy.asarray(answers)


def rounds_of(model: Any) -> tuple[int, int]:
    """The rounds that predictions use, as `iteration_range` takes them: (0, 0) is all of them."""
    best = model.attr("best_iteration")
    return (0, min(int(best) + 1, model.num_boosted_rounds())) if best is not None else (0, 0)


def _predict_on_all_cores(model: Any, rows: Array, rounds: tuple[int, int]) -> Array:
    import numpy
    import xgboost

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    model.set_param({"nthread": cores})
    try:
        matrix = xgboost.DMatrix(rows, nthread=cores)
        return numpy.asarray(model.predict(matrix, iteration_range=rounds, validate_features=False))
    finally:
        model.set_param({"nthread": 1})
