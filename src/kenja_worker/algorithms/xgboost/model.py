"""A booster on disk and its predictions. Only data formats of the library are read, never a pickle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.errors import ClientError
from kenja_worker.algorithms.xgboost.training import reason

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

FILE = "xgboost-model"  # the name that AWS's image writes and reads
_MANY_ROWS = 2048  # from here on a second thread gains more than it costs (measured: 0.2 ms to wake one)


def save(model: Any, folder: Path) -> None:
    """Write the model as UBJSON, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{FILE}"
    with partial.open("wb") as file:
        file.write(model.save_raw("ubj"))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / FILE)


def load(folder: Path) -> Any:
    """Read `xgboost-model`, or the folder's only file when a user named it otherwise."""
    import xgboost

    path = _model_file(folder)
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


def predict(model: Any, rows: Array) -> Array:
    """See `Algorithm.predict`."""
    import numpy
    import xgboost

    width = model.num_features()
    if rows.ndim != 2 or rows.shape[1] != width:
        given = rows.shape[1] if rows.ndim == 2 else 0
        raise ClientError(f"Each row has {given} features; the model was trained with {width}.")
    best = model.attr("best_iteration")
    rounds = (0, min(int(best) + 1, model.num_boosted_rounds())) if best is not None else (0, 0)
    if len(rows) >= _MANY_ROWS:
        return _predict_on_all_cores(model, rows, rounds)
    try:
        answers = model.inplace_predict(rows, iteration_range=rounds, validate_features=False)
    except xgboost.core.XGBoostError:  # gblinear has no in-place prediction
        answers = model.predict(xgboost.DMatrix(rows), iteration_range=rounds, validate_features=False)
    return numpy.asarray(answers)


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
