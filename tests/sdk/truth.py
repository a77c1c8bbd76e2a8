"""What the libraries themselves make of a table: the truth that scripts of older and newer SDKs are held against. No test here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xgboost

ROUNDS = 12  # as in the scripts, like the settings
SETTINGS = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.4, "seed": 5}


def table(rows: int, seed: int, columns: int = 5) -> np.ndarray:
    """Label first; the truth is a formula with noise."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, columns)).round(5)
    signal = values[:, 0] - values[:, 1] * values[:, 2] + 0.3 * random.normal(size=rows)
    return np.column_stack([signal > 0, values])


def write(folder: Path, **tables: np.ndarray) -> None:
    """Each as NAME.csv."""
    for name, rows in tables.items():
        np.savetxt(folder / f"{name}.csv", rows, delimiter=",", fmt="%.9g")


def boosted(train: np.ndarray, rounds: int = ROUNDS) -> xgboost.Booster:
    """The booster that the library makes of the table."""
    return xgboost.train(SETTINGS, xgboost.DMatrix(train[:, 1:], label=train[:, 0]), rounds)


def scores(model: xgboost.Booster, rows: np.ndarray) -> np.ndarray:
    """Its probabilities for rows without labels."""
    return model.predict(xgboost.DMatrix(rows)).astype(float)


def logloss(model: xgboost.Booster, rows: np.ndarray) -> float:
    """Of labelled rows."""
    found = scores(model, rows[:, 1:])
    return float(-np.log(np.where(rows[:, 0] == 1, found, 1 - found)).mean())
