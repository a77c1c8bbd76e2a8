"""Training a booster on a job's channels, with AWS's rules for metrics, early stopping and stopping."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.algorithm import Channel, Job
from kenja_worker.algorithms.csvtable import read_channel, require_csv
from kenja_worker.algorithms.errors import ClientError, JobStopped
from kenja_worker.algorithms.hyperparameters import Values
from kenja_worker.algorithms.xgboost import evaluation
from kenja_worker.algorithms.xgboost.metrics import maximizes

if TYPE_CHECKING:
    import xgboost

    from kenja_worker.algorithms.algorithm import Array

_CHANNELS = ("train", "validation")
_OURS = (
    *(
        "num_round",
        "early_stopping_rounds",
        "eval_metric",
        "_tuning_objective_metric",
        "save_model_on_termination",
    ),
)


def fit(values: Values, job: Job) -> Any:
    """See `Algorithm.fit`. With early stopping the model holds the best round's trees only."""
    import xgboost

    datasets = _datasets(values, job)
    parameters, metrics, own = _parameters(values, job)
    callbacks: list[Any] = [_rounds(job)]
    rounds = values.get("early_stopping_rounds")
    if rounds is not None:
        callbacks.append(_early_stopping(values, metrics, rounds))
    objective = parameters.get("objective", "reg:squarederror")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            booster = xgboost.train(
                parameters,
                datasets["train"],
                num_boost_round=values["num_round"],
                evals=[(matrix, name) for name, matrix in datasets.items()],
                custom_metric=evaluation.score(own, objective) if own else None,
                callbacks=callbacks,
                verbose_eval=False,
            )
        except xgboost.core.XGBoostError as error:
            raise ClientError(
                f"XGBoost cannot train with this data and these hyperparameters: {reason(error)}"
            ) from error
    for warning in caught:
        job.say(f"Warning: {reason(warning.message)}")
    if job.stopping():
        if not values.get("save_model_on_termination", False):
            raise JobStopped("stopped; save_model_on_termination is false, so no model is kept")
        job.say(f"Stopped after {booster.num_boosted_rounds()} rounds; the model so far is kept.")
    return booster


def reason(error: object) -> str:
    """The library's message on one line, without its time stamp, source line and stack."""
    text = str(error).partition("Stack trace:")[0]
    text = re.sub(r"^\[[0-9:]+\] (?:WARNING: )?\S+:[0-9]+:\s*", "", text.strip())
    return " ".join(text.split())


def _rounds(job: Job) -> xgboost.callback.TrainingCallback:
    """Prints each round's metrics and ends training when the job is told to stop."""
    import xgboost

    class Rounds(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            job.say(evaluation.line(epoch, evals_log))
            return job.stopping()

    return Rounds()


def _early_stopping(values: Values, metrics: tuple[str, ...], rounds: int) -> xgboost.callback.TrainingCallback:
    import xgboost

    name = metrics[-1] if metrics else None
    return xgboost.callback.EarlyStopping(
        rounds=rounds,
        metric_name=name,
        data_name="validation",
        maximize=maximizes(name) if name else None,
        save_best=values.get("booster") != "gblinear",  # a linear model has no rounds to cut off
    )


def _parameters(values: Values, job: Job) -> tuple[dict[str, Any], tuple[str, ...], list[str]]:
    """The library's parameters, all metric names as printed, and those of them that are computed here."""
    parameters = {name: value for name, value in values.items() if name not in _OURS}
    objective = parameters.get("objective", "reg:squarederror")
    if objective == "reg:linear":
        objective = parameters["objective"] = "reg:squarederror"
        job.say("Note: objective reg:linear is now called reg:squarederror.")
    if parameters.get("tree_method") == "gpu_hist":
        parameters["tree_method"] = "hist"
        job.say("Note: tree_method gpu_hist is now hist; it runs on the CPU here.")
    metrics = values.get("eval_metric", ())
    tuned = values.get("_tuning_objective_metric")
    if tuned and tuned not in metrics:
        metrics = (*metrics, tuned)
    power = values.get("tweedie_variance_power", 1.5)
    metrics = tuple(f"{name}@{power:g}" if name == "tweedie-nloglik" else name for name in metrics)
    if not metrics and objective.startswith("rank:"):
        metrics = ("map",) if objective == "rank:map" else ("ndcg",)  # the library's own, without its cut at 32
    theirs, own = evaluation.split(metrics, objective)
    if theirs:
        parameters["eval_metric"] = theirs
    elif own:
        parameters["disable_default_eval_metric"] = True
    return parameters, (*theirs, *own), own


def _datasets(values: Values, job: Job) -> dict[str, xgboost.DMatrix]:
    for name in job.channels:
        if name not in _CHANNELS:
            raise ClientError(f"Extraneous channel found: '{name}'; this algorithm reads {' and '.join(_CHANNELS)}.")
    if "train" not in job.channels:
        raise ClientError("Missing required channel: train.")
    if "early_stopping_rounds" in values and "validation" not in job.channels:
        raise ClientError("Hyperparameter 'early_stopping_rounds' needs a validation channel; there is none.")
    datasets: dict[str, xgboost.DMatrix] = {}
    for name in _CHANNELS:
        if name in job.channels:
            datasets[name] = matrix = _matrix(job.channels[name], values)
            job.say(f"{name.capitalize()} matrix has {matrix.num_row()} rows and {matrix.num_col()} columns")
            if matrix.num_col() != datasets["train"].num_col():
                raise ClientError(
                    f"Channel '{name}' has {matrix.num_col()} features, channel 'train' has "
                    f"{datasets['train'].num_col()}."
                )
    return datasets


def _matrix(channel: Channel, values: Values) -> xgboost.DMatrix:
    import xgboost

    require_csv(channel)
    table = read_channel(channel)
    labels = table[:, 0]
    _check_labels(labels, channel.name, values)
    try:
        matrix = xgboost.DMatrix(table[:, 1:], label=labels, nthread=values.get("nthread"))
    except xgboost.core.XGBoostError as error:
        raise ClientError(f"XGBoost cannot read channel '{channel.name}': {reason(error)}") from error
    if values.get("objective") == "survival:aft":
        # CSV has one label column, so every time is observed: both bounds are the label.
        matrix.set_float_info("label_lower_bound", labels)
        matrix.set_float_info("label_upper_bound", labels)
    return matrix


def _check_labels(labels: Array, channel: str, values: Values) -> None:
    """The library's own sentence about a wrong label speaks of base_score. Raises ClientError."""
    import numpy

    objective = values.get("objective", "")
    if objective.startswith("multi:"):
        classes = values["num_class"]
        wrong = labels[(labels < 0) | (labels >= classes) | (labels != numpy.floor(labels))]
        allowed = f"label must be in [0, num_class) and whole, num_class is {classes}"
    elif objective.startswith("binary:") or objective == "reg:logistic":
        wrong = labels[(labels < 0) | (labels > 1)]
        allowed = "label must be in [0,1] for logistic regression"
    else:
        return
    if wrong.size:
        raise ClientError(f"Channel '{channel}' has the label {wrong[0]:g}: {allowed}.")
