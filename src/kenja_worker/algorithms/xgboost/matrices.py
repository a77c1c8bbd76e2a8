"""From a job's channels to the library's matrices: labels checked, weights and queries in place. Trains nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms import channels
from kenja_worker.algorithms.algorithm import Job
from kenja_worker.algorithms.channels import Table
from kenja_worker.algorithms.errors import ClientError
from kenja_worker.algorithms.hyperparameters import Values
from kenja_worker.algorithms.xgboost.objectives import DEFAULT, OBJECTIVES, RANKING
from kenja_worker.algorithms.xgboost.reasons import reason

if TYPE_CHECKING:
    import xgboost

    from kenja_worker.algorithms.algorithm import Array

_CHANNELS = ("train", "validation")


def tables(values: Values, job: Job) -> dict[str, Table]:
    """The channels' rows, by channel. Raises ClientError for a channel too many, a missing one, and broken data."""
    for name in job.channels:
        if name not in _CHANNELS:
            raise ClientError(f"Extraneous channel found: '{name}'; this algorithm reads {' and '.join(_CHANNELS)}.")
    if "train" not in job.channels:
        raise ClientError("Missing required channel: train.")
    found: dict[str, Table] = {}
    weights = values.get("csv_weights") == 1
    for name in _CHANNELS:
        if name in job.channels:
            form = channels.form_of(job.channels[name]).name
            if weights and form != "csv":
                job.say(f"Note: csv_weights is for CSV; channel '{name}' is {form}, and its columns are features.")
            table = channels.read(job.channels[name], weights=weights and form == "csv")
            rows, columns = table.features.shape
            job.say(f"{name.capitalize()} matrix has {rows} rows and {columns} columns")
            _check(table, name, found.get("train"), values)
            found[name] = table
    _widen([table.features for table in found.values()])
    return found


def matrix(table: Table, values: Values) -> xgboost.DMatrix:
    """The library's matrix of a table. Raises ClientError in the library's words."""
    import xgboost

    weights = table.weights
    if weights is not None and table.groups is not None:
        weights = _weights_of_groups(weights, table.groups)
    try:
        made = xgboost.DMatrix(
            table.features, label=table.labels, weight=weights, qid=table.groups, nthread=values.get("nthread")
        )
    except xgboost.core.XGBoostError as error:
        raise ClientError(f"XGBoost cannot read the data: {reason(error)}") from error
    if values.get("objective") == "survival:aft":
        # A file has one label, so every time is observed: both bounds are the label.
        made.set_float_info("label_lower_bound", table.labels)
        made.set_float_info("label_upper_bound", table.labels)
    return made


def joined(parts: list[Table]) -> Table:
    """Several tables as one, as cross-validation needs them."""
    import numpy

    if len(parts) == 1:
        return parts[0]
    groups = [part.groups for part in parts]
    return Table(
        _stacked([part.features for part in parts]),
        numpy.concatenate([part.labels for part in parts]),
        None if parts[0].weights is None else numpy.concatenate([part.weights for part in parts]),
        None if groups[0] is None else _numbered_on(groups),
    )


def rows_of(table: Table, rows: Array) -> Table:
    """Some rows of a table, in their order."""
    return Table(
        table.features[rows],
        table.labels[rows],
        None if table.weights is None else table.weights[rows],
        None if table.groups is None else table.groups[rows],
    )


def _is_sparse(features: Any) -> bool:
    return hasattr(features, "tocsr")


def _widen(parts: list[Any]) -> None:
    """Sparse tables of one job get one width: what a narrower one does not have is missing in all its rows."""
    width = max(part.shape[1] for part in parts)
    for part in parts:
        if _is_sparse(part):
            part.resize(part.shape[0], width)


def _stacked(parts: list[Any]) -> Any:
    import numpy

    if any(map(_is_sparse, parts)):
        import scipy.sparse

        return scipy.sparse.vstack(parts, format="csr")
    return numpy.concatenate(parts)


def _numbered_on(groups: list[Any]) -> Array:
    import numpy

    numbered, next_number = [], 0
    for part in groups:
        numbered.append(part + next_number)
        next_number += int(part[-1]) + 1
    return numpy.concatenate(numbered)


def _weights_of_groups(weights: Array, groups: Array) -> Array:
    """The library weighs whole queries. Raises ClientError where the rows of one differ."""
    import numpy

    _, firsts, members = numpy.unique(groups, return_index=True, return_inverse=True)
    different = numpy.flatnonzero(weights != weights[firsts][members])
    if different.size:
        raise ClientError(
            f"Row {different[0] + 1} has another weight than the first row of its query; in ranking, a query has one weight."
        )
    picked: Array = weights[firsts]
    return picked


def _check(table: Table, channel: str, train: Table | None, values: Values) -> None:
    _check_labels(table.labels, channel, values)
    if table.groups is not None and values.get("objective", DEFAULT) not in RANKING:
        raise ClientError(
            f"Channel '{channel}' has queries (qid), which are for the objectives {', '.join(RANKING)}; "
            f"the objective is {values.get('objective', DEFAULT)}."
        )
    if train is None:
        return
    for name, here, there in (("weights", table.weights, train.weights), ("queries", table.groups, train.groups)):
        if (here is None) != (there is None):
            raise ClientError(f"One of the channels train and {channel} has {name}, the other none.")
    columns, wanted = table.features.shape[1], train.features.shape[1]
    widest = max(columns, wanted)
    if any(not _is_sparse(one.features) and one.features.shape[1] < widest for one in (table, train)):
        raise ClientError(f"Channel '{channel}' has {columns} features, channel 'train' has {wanted}.")


def _check_labels(labels: Array, channel: str, values: Values) -> None:
    """The library's own sentence about a wrong label speaks of base_score. Raises ClientError."""
    import numpy

    match OBJECTIVES[values.get("objective", DEFAULT)].labels:
        case "class":
            classes = values["num_class"]
            wrong = labels[(labels < 0) | (labels >= classes) | (labels != numpy.floor(labels))]
            allowed = f"label must be in [0, num_class) and whole, num_class is {classes}"
        case "share":
            wrong = labels[(labels < 0) | (labels > 1)]
            allowed = "label must be in [0,1] for logistic regression"
        case _:
            return
    if wrong.size:
        raise ClientError(f"Channel '{channel}' has the label {wrong[0]:g}: {allowed}.")
