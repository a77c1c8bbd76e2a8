"""Training a booster on a job's channels, with AWS's rules for metrics, early stopping, checkpoints, folds and stopping."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.algorithm import Job
from kenja_worker.algorithms.errors import ClientError, JobStopped
from kenja_worker.algorithms.hyperparameters import Values
from kenja_worker.algorithms.xgboost import checkpoints, evaluation, folds, matrices
from kenja_worker.algorithms.xgboost.metrics import maximizes
from kenja_worker.algorithms.xgboost.objectives import DEFAULT
from kenja_worker.algorithms.xgboost.reasons import reason

if TYPE_CHECKING:
    import xgboost

_OURS = (  # not the library's
    "_kfold", "_num_cv_round", "_tuning_objective_metric", "csv_weights", "early_stopping_rounds", "eval_metric",
    "num_round", "save_model_on_termination",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """What every call of the library gets. `metrics`: all names as printed; `own`: those of them that are computed here."""

    parameters: Mapping[str, Any]
    metrics: tuple[str, ...]
    own: tuple[str, ...]


def fit(values: Values, job: Job) -> Any:
    """See `Algorithm.fit`. With early stopping the model holds the best round's trees only; with `_kfold` it is an Ensemble."""
    if "early_stopping_rounds" in values and "validation" not in job.channels and "_kfold" not in values:
        raise ClientError("Hyperparameter 'early_stopping_rounds' needs a validation channel; there is none.")
    tables = matrices.tables(values, job)
    recipe = _recipe(values, job)
    if "_kfold" in values:
        if job.checkpoints is not None:
            job.say("Note: checkpoints are not written during cross-validation.")
        return _fit_folds(values, recipe, matrices.joined(list(tables.values())), job)
    datasets = {name: matrices.matrix(tables.pop(name), values) for name in list(tables)}
    start, done = checkpoints.latest(job.checkpoints) if job.checkpoints is not None else (None, 0)
    if start is not None:
        job.say(f"Checkpoint loaded; resuming from iteration {done}")
    booster, _ = _train(values, recipe, datasets, job, start=start, done=done)
    if job.stopping():
        if not values.get("save_model_on_termination", False):
            raise JobStopped("stopped; save_model_on_termination is false, so no model is kept")
        job.say(f"Stopped after {booster.num_boosted_rounds()} rounds; the model so far is kept.")
    return booster


def _fit_folds(values: Values, recipe: Recipe, table: Any, job: Job) -> folds.Ensemble:
    count, times = values["_kfold"], values.get("_num_cv_round", 1)
    objective = values.get("objective", DEFAULT)
    classes = objective.startswith(("binary:", "multi:"))
    job.say(f"Run {times}-round of {count}-fold cross validation with {len(table.labels)} rows")
    held_out = folds.HeldOut(table.labels, times, classes=classes)
    boosters: list[Any] = []
    scores: list[folds.Scores] = []
    for train, validation in folds.split(table, count, times, values.get("seed", 0), stratified=classes):
        job.say(f"Train cross validation fold {len(boosters) % count + 1}")
        datasets = {
            name: matrices.matrix(matrices.rows_of(table, rows), values)
            for name, rows in (("train", train), ("validation", validation))
        }
        booster, scored = _train(values, recipe, datasets, job)
        if job.stopping():
            raise JobStopped("stopped during cross validation; no model is kept")
        boosters.append(booster)
        scores.append(scored)
        held_out.record(validation, booster.predict(datasets["validation"]))
        if len(boosters) % count == 0:
            job.say(f"The metrics of round {len(boosters) // count} cross validation")
            folds.report(values["num_round"], scores[-count:], job.say)
    if times > 1:
        job.say(f"The overall metrics of {times}-round cross validation")
        folds.report(values["num_round"], scores, job.say)
    if job.output is not None:
        held_out.save(job.output)
    return folds.Ensemble(tuple(boosters))


def _train(
    values: Values, recipe: Recipe, datasets: Mapping[str, Any], job: Job, *, start: Any = None, done: int = 0
) -> tuple[Any, folds.Scores]:
    """A booster and its scores of every round. Raises ClientError in the library's words."""
    import xgboost

    scores: folds.Scores = {}
    callbacks: list[Any] = [_rounds(job, done, checkpoint="_kfold" not in values)]
    if "early_stopping_rounds" in values:
        callbacks.append(_early_stopping(values, recipe.metrics))
    objective = recipe.parameters.get("objective", DEFAULT)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            booster = xgboost.train(
                dict(recipe.parameters),
                datasets["train"],
                num_boost_round=max(0, values["num_round"] - done),
                evals=[(matrix, name) for name, matrix in datasets.items()],
                evals_result=scores,
                custom_metric=evaluation.score(recipe.own, objective) if recipe.own else None,
                callbacks=callbacks,
                verbose_eval=False,
                xgb_model=start,
            )
        except xgboost.core.XGBoostError as error:
            raise ClientError(
                f"XGBoost cannot train with this data and these hyperparameters: {reason(error)}"
            ) from error
    for warning in caught:
        job.say(f"Warning: {reason(warning.message)}")
    return booster, scores


def _rounds(job: Job, done: int, *, checkpoint: bool) -> xgboost.callback.TrainingCallback:
    """Prints each round's metrics, writes its checkpoint and ends training when the job is told to stop."""
    import xgboost

    folder = job.checkpoints if checkpoint else None

    class Rounds(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            job.say(evaluation.line(done + epoch, evals_log))
            if folder is not None:
                checkpoints.write(folder, model, done + epoch)
            return job.stopping()

    return Rounds()


def _early_stopping(values: Values, metrics: tuple[str, ...]) -> xgboost.callback.TrainingCallback:
    import xgboost

    name = metrics[-1] if metrics else None
    return xgboost.callback.EarlyStopping(
        rounds=values["early_stopping_rounds"],
        metric_name=name,
        data_name="validation",
        maximize=maximizes(name) if name else None,
        save_best=values.get("booster") != "gblinear",  # a linear model has no rounds to cut off
    )


def _recipe(values: Values, job: Job) -> Recipe:
    parameters = {name: value for name, value in values.items() if name not in _OURS}
    objective = parameters.get("objective", DEFAULT)
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
    theirs, own = evaluation.split(metrics, objective)
    if theirs:
        parameters["eval_metric"] = theirs
    elif own:
        parameters["disable_default_eval_metric"] = True
    return Recipe(parameters, (*theirs, *own), tuple(own))
