"""Every hyper-parameter of AWS's XGBoost page, as data, with the library's own spellings. Ranges: that page and the image."""

from __future__ import annotations

import json

from kenja_worker.algorithms.hyperparameters import (
    Hyperparameter,
    HyperparameterTable,
    Values,
    boolean,
    choice,
    integer,
    number,
)
from kenja_worker.algorithms.xgboost.metrics import NAMES
from kenja_worker.algorithms.xgboost.objectives import DEFAULT, MULTICLASS, OBJECTIVES

_TREE_UPDATERS = (
    "grow_colmaker",
    "grow_histmaker",
    "grow_quantile_histmaker",
    "sync",
    "refresh",
    "prune",
)
_LINEAR_UPDATERS = ("shotgun", "coord_descent")
_GPU = "it only concerned training on GPUs; this library's results are the same without it"


def _metrics(raw: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in raw.split(",") if name.strip())
    for name in names:
        base, at, parameter = name.partition("@")
        known = base in NAMES and (not at or base in ("error", "ndcg", "map", "pre"))
        if not known or (at and not parameter.removesuffix("-").replace(".", "", 1).isdigit()):
            raise ValueError(f"a comma-separated list of {', '.join(NAMES)}, or error@t, ndcg@n, map@n, pre@n")
    if not names:
        raise ValueError("at least one metric")
    return names


def _objective_metric(raw: str) -> str:
    dataset, _, name = raw.rpartition(":")
    if dataset not in ("", "train", "validation") or name not in NAMES:
        raise ValueError(f"validation:METRIC, where METRIC is one of {', '.join(NAMES)}")
    return name


def _quantiles(raw: str) -> list[float]:
    try:
        levels = [float(item) for item in raw.strip("()[] ").split(",")]
    except ValueError:
        levels = []
    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError("a number between 0 and 1, or a list of them, such as 0.1,0.5,0.9")
    return levels


def _updaters(raw: str) -> str:
    names = [name.strip() for name in raw.split(",")]
    if not names or not set(names) <= {*_TREE_UPDATERS, *_LINEAR_UPDATERS}:
        allowed = ", ".join(_TREE_UPDATERS + _LINEAR_UPDATERS)
        raise ValueError(f"a comma-separated list of {allowed} (the other updaters left the xgboost library)")
    return ",".join(names)


def _monotone(raw: str) -> str:
    items = raw.strip("()[] ").rstrip(",").split(",")
    try:
        signs = [int(item) for item in items]
    except ValueError:
        signs = [2]
    if not set(signs) <= {-1, 0, 1}:
        raise ValueError("a tuple of -1, 0 and 1, one for each feature, such as (1,0,-1)")
    return "(" + ",".join(map(str, signs)) + ")"


def _interactions(raw: str) -> str:
    allowed = "a list of lists of feature numbers, such as [[0, 1], [2, 3, 4]]"
    try:
        groups = json.loads(raw)
    except ValueError:
        raise ValueError(allowed) from None
    if not isinstance(groups, list) or not all(isinstance(group, list) and group for group in groups):
        raise ValueError(allowed)
    if not all(type(index) is int and index >= 0 for group in groups for index in group):
        raise ValueError(allowed)
    return json.dumps(groups)


def _check(values: Values) -> str | None:
    objective = values.get("objective", DEFAULT)
    classes = values.get("num_class")
    if objective in MULTICLASS and classes is None:
        return f"Missing required hyperparameter: num_class, because objective is {objective}."
    if objective not in MULTICLASS and classes is not None:
        return (
            f"Hyperparameter 'num_class' is for the objectives multi:softmax and multi:softprob, not for {objective}."
        )
    if (objective == "reg:quantileerror") != ("quantile_alpha" in values):
        return "Hyperparameter 'quantile_alpha' belongs to the objective reg:quantileerror, which needs it, and to no other."
    if "_num_cv_round" in values and "_kfold" not in values:
        return "Hyperparameter '_num_cv_round' repeats cross-validation; it needs '_kfold'."
    if "aft-nloglik" in values.get("eval_metric", ()) and objective != "survival:aft":
        return "Metric 'aft-nloglik' is for the objective survival:aft only."
    updater = values.get("updater")
    if updater is not None:
        linear = values.get("booster") == "gblinear"
        allowed = _LINEAR_UPDATERS if linear else _TREE_UPDATERS
        if not set(updater.split(",")) <= set(allowed):
            booster = values.get("booster", "gbtree")
            return f"Hyperparameter 'updater' is '{updater}'; for booster {booster} it may name {', '.join(allowed)}."
    return None


HYPERPARAMETERS = HyperparameterTable(
    (
        Hyperparameter("num_round", integer(1), ("n_estimators", "num_boost_round"), required=True),
        Hyperparameter("num_class", integer(2)),
        Hyperparameter("_kfold", integer(2)),
        Hyperparameter("_num_cv_round", integer(1)),
        Hyperparameter("_tuning_objective_metric", _objective_metric),
        Hyperparameter(
            "aft_loss_distribution",
            choice("normal", "logistic", "extreme"),
            default="normal",
        ),
        Hyperparameter("aft_loss_distribution_scale", number(above=0), default="1"),
        Hyperparameter("alpha", number(0), ("reg_alpha",), default="0"),
        Hyperparameter("base_score", number()),  # AWS: 0.5 in images before 1.6, since then estimated from the labels
        Hyperparameter("booster", choice("gbtree", "gblinear", "dart"), default="gbtree"),
        Hyperparameter("colsample_bylevel", number(above=0, maximum=1), default="1"),
        Hyperparameter("colsample_bynode", number(above=0, maximum=1), default="1"),
        Hyperparameter("colsample_bytree", number(above=0, maximum=1), default="1"),
        Hyperparameter("csv_weights", integer(0, 1), default="0"),
        Hyperparameter("deterministic_histogram", boolean, default="true", gone=_GPU),
        Hyperparameter(
            "dsplit",
            choice("row", "col"),
            gone="it only concerned training on several machines",
        ),
        Hyperparameter("early_stopping_rounds", integer(1)),
        Hyperparameter("eta", number(0, 1), ("learning_rate",), default="0.3"),
        Hyperparameter("eval_metric", _metrics),
        Hyperparameter(
            "feature_selector",
            choice("cyclic", "shuffle", "random", "greedy", "thrifty"),
            default="cyclic",
        ),
        Hyperparameter("gamma", number(0), ("min_split_loss",), default="0"),
        Hyperparameter("grow_policy", choice("depthwise", "lossguide"), default="depthwise"),
        Hyperparameter("huber_slope", number(above=0), default="1"),
        Hyperparameter("interaction_constraints", _interactions),
        Hyperparameter("lambda", number(0), ("reg_lambda",), default="1"),
        Hyperparameter(
            "lambda_bias",
            number(0, 1),
            default="0",
            gone="the xgboost library no longer regularises the bias",
        ),
        Hyperparameter("max_bin", integer(2), default="256"),
        Hyperparameter("max_delta_step", number(0), default="0"),
        Hyperparameter("max_depth", integer(0), default="6"),
        Hyperparameter("max_leaves", integer(0), default="0"),
        Hyperparameter("min_child_weight", number(0), default="1"),
        Hyperparameter("monotone_constraints", _monotone),
        Hyperparameter("normalize_type", choice("tree", "forest"), default="tree"),
        Hyperparameter("nthread", integer(1), ("n_jobs",)),
        Hyperparameter("num_parallel_tree", integer(1), default="1"),
        Hyperparameter("objective", choice(*OBJECTIVES), default="reg:squarederror"),
        Hyperparameter("one_drop", integer(0, 1), default="0"),
        Hyperparameter(
            "predictor",
            choice("auto", "cpu_predictor", "gpu_predictor"),
            gone="the xgboost library now chooses the predictor itself",
        ),
        Hyperparameter("prob_buffer_row", number(), gone="the xgboost library no longer has it"),
        Hyperparameter(
            "process_type",
            choice("default", "update"),
            default="default",
            later="'update' changes the trees of a finished model, and a job takes up unfinished ones only",
            harmless=("default",),
        ),
        Hyperparameter("quantile_alpha", _quantiles),
        Hyperparameter("rate_drop", number(0, 1), default="0"),
        Hyperparameter("refresh_leaf", integer(0, 1), default="1"),
        Hyperparameter("sample_type", choice("uniform", "weighted"), default="uniform"),
        Hyperparameter("sampling_method", choice("uniform", "gradient_based"), default="uniform"),
        Hyperparameter("save_model_on_termination", boolean, default="false"),
        Hyperparameter("scale_pos_weight", number(above=0), default="1"),
        Hyperparameter("seed", integer(-(2**31), 2**31 - 1), ("random_state",), default="0"),
        Hyperparameter(
            "silent",
            choice("0", "1"),
            gone="the xgboost library no longer has it; verbosity takes its place",
        ),
        Hyperparameter("single_precision_histogram", boolean, default="false", gone=_GPU),
        Hyperparameter(
            "sketch_eps",
            number(above=0, below=1),
            default="0.03",
            gone="the xgboost library no longer has it; max_bin takes its place",
        ),
        Hyperparameter("skip_drop", number(0, 1), default="0"),
        Hyperparameter("subsample", number(above=0, maximum=1), default="1"),
        Hyperparameter("top_k", integer(0), default="0"),
        Hyperparameter(
            "tree_method",
            choice("auto", "exact", "approx", "hist", "gpu_hist"),
            default="auto",
        ),
        Hyperparameter("tweedie_variance_power", number(above=1, below=2), default="1.5"),
        Hyperparameter("updater", _updaters),
        Hyperparameter("use_dask_gpu_training", boolean, default="false", gone=_GPU),
        Hyperparameter("verbosity", integer(0, 3), default="1"),
    ),
    check=_check,
)
