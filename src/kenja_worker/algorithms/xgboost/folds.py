"""Cross-validation inside one training job (`_kfold`): folds, their scores, the predictions for rows held out. Reads no channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.channels import Table
from kenja_worker.algorithms.errors import ClientError

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

PREDICTIONS = "predictions.csv"  # in the job's output data, as AWS's image writes it
Scores = dict[str, dict[str, list[float]]]  # dataset → metric → one value a round


@dataclass(frozen=True)
class Ensemble:
    """The boosters of all folds, in their order; they answer together."""

    boosters: tuple[Any, ...]


def split(table: Table, folds: int, times: int, seed: int, *, stratified: bool) -> Iterator[tuple[Array, Array]]:
    """(rows to train on, rows held out) of every fold, `times` over. Queries stay whole. Raises ClientError for too few rows."""
    import numpy
    import sklearn.model_selection as selection

    units = numpy.arange(len(table.labels)) if table.groups is None else numpy.unique(table.groups)
    if len(units) < folds:
        raise ClientError(
            f"Hyperparameter '_kfold' is {folds}, but there are only {len(units)} rows or queries to divide."
        )
    kind = selection.RepeatedStratifiedKFold if stratified else selection.RepeatedKFold
    splitter = kind(n_splits=folds, n_repeats=times, random_state=seed)
    try:
        for chosen, held_out in splitter.split(units, table.labels if stratified else None):
            if table.groups is None:
                yield chosen, held_out
            else:
                yield (
                    numpy.flatnonzero(numpy.isin(table.groups, units[chosen])),
                    numpy.flatnonzero(numpy.isin(table.groups, units[held_out])),
                )
    except ValueError as error:  # fewer rows of every class than folds
        raise ClientError(f"Hyperparameter '_kfold' is {folds}: {error}") from error


def report(rounds: int, scores: list[Scores], say: Callable[[str], None]) -> None:
    """The means over folds in the form of a round's line, which the metrics' expressions read, and the deviations."""
    import numpy

    means, spreads = [], []
    for dataset, metrics in scores[0].items():
        for name in metrics:
            last = [one[dataset][name][-1] for one in scores]
            means.append(f"{dataset}-{name}:{numpy.mean(last):.5f}")
            spreads.append(f"{dataset}-{name} {numpy.std(last):.5f}")
    say("\t".join((f"[{rounds}]", *means)))
    say(f"Standard deviations over {len(scores)} folds: {', '.join(spreads)}")


class HeldOut:
    """What each row was predicted by the boosters that had not seen it."""

    def __init__(self, labels: Array, times: int, *, classes: bool) -> None:
        import numpy

        self._labels = labels
        self._classes = classes
        self._answers: Array = numpy.zeros((len(labels), times))  # the class, or the number
        self._shares: Array = numpy.zeros((len(labels), times))  # of the class that won
        self._next = numpy.zeros(len(labels), dtype=int)

    def record(self, rows: Array, predicted: Array) -> None:
        """Predictions for some rows, each once in every repetition."""
        import numpy

        turn = self._next[rows]
        if self._classes and predicted.ndim == 2:
            winner = predicted.argmax(axis=1)
            self._answers[rows, turn] = winner
            self._shares[rows, turn] = predicted[numpy.arange(len(winner)), winner]
        elif self._classes:
            self._answers[rows, turn] = predicted > 0.5
            self._shares[rows, turn] = predicted
        else:
            self._answers[rows, turn] = predicted if predicted.ndim == 1 else predicted[:, 0]
        self._next[rows] += 1

    def save(self, folder: Path) -> Path:
        """label, mean share and most frequent class of each row; or label and mean prediction. No header. Its path."""
        import numpy

        if self._classes:
            frequent = [float(numpy.bincount(row.astype(int)).argmax()) for row in self._answers]
            columns = [self._labels, self._shares.mean(axis=1), numpy.array(frequent)]
        else:
            columns = [self._labels, self._answers.mean(axis=1)]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / PREDICTIONS
        numpy.savetxt(path, numpy.column_stack(columns), delimiter=",", fmt="%f")
        return path
