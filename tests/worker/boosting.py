"""A table with a known truth, and training on it through CSV: what the tests of XGBoost share. No test here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from kenja_worker.algorithms import find
from kenja_worker.algorithms.algorithm import Channel, Job

ALGORITHM = find("xgboost")
BINARY = {"objective": "binary:logistic"}


def table(kind: str = "binary", rows: int = 300) -> numpy.ndarray:
    """Label first, six features, some values missing; its truth is a formula with noise."""
    random = numpy.random.default_rng(5)
    features = random.normal(size=(rows, 6))
    signal = features[:, 0] * 2 - features[:, 1] + features[:, 2] * features[:, 3] + random.normal(scale=0.5, size=rows)
    labels = {
        "binary": (signal > 0).astype(float),
        "number": signal,
        "positive": numpy.exp(signal / 4),
        "classes": numpy.digitize(signal, [-1, 1]).astype(float),
    }[kind]
    features[random.random(features.shape) < 0.03] = numpy.nan
    return numpy.column_stack([labels, features]).astype(numpy.float32)


def csv(rows: numpy.ndarray) -> bytes:
    return "\n".join(",".join("" if numpy.isnan(cell) else repr(float(cell)) for cell in row) for row in rows).encode()


def channel(folder: Path, name: str, *files: bytes, content_type: str = "text/csv") -> Channel:
    place = folder / name
    place.mkdir(parents=True)
    for number, data in enumerate(files):
        (place / f"part-{number}.csv").write_bytes(data)
    return Channel(name, place, content_type)


def fit(
    folder: Path, given: dict[str, str], data: numpy.ndarray | None = None, validation: bool = True
) -> tuple[Any, list[str]]:
    """A model of the first two thirds of the table, and the job's log."""
    rows = table() if data is None else data
    cut = len(rows) * 2 // 3
    channels = {"train": channel(folder, "train", csv(rows[:cut]))}
    if validation:
        channels["validation"] = channel(folder, "validation", csv(rows[cut:]))
    log: list[str] = []
    threads = {} if {"nthread", "n_jobs"} & set(given) else {"nthread": "1"}
    values = ALGORITHM.hyperparameters.parse({"num_round": "8", **threads, **given}).values
    return ALGORITHM.fit(values, Job(channels=channels, say=log.append)), log


def body(model: Any) -> bytes:
    return bytes(model.save_raw("json"))
