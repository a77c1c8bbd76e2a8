"""A booster as an ONNX graph that gives its margins, and from margins its predictions. Nothing is served here.

The graph adds the trees' leaves to the base score in XGBoost's own order in 32-bit floats, so that margins are equal to the bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.xgboost.model import rounds_of
from kenja_worker.modelserver.upgrade import Unconverted

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

MAX_BYTES = 64 * 1024 * 1024  # of UBJSON; a larger model's graph would need gigabytes while it is made
_OPSETS = {"": 21, "ai.onnx.ml": 3}  # TreeEnsembleRegressor is deprecated from ai.onnx.ml 5 on
_IR = 10  # version of the file format; ONNX 1.16
_SAMPLES = 512  # rows of the proof
_MAX_EXPONENT = 88.7  # XGBoost, src/common/math.h: beyond it a 32-bit exponential overflows


def convert(booster: Any) -> bytes:
    """The graph: `rows` (any, features) float32 → `margins` (any, outputs) float32. Raises Unconverted with the reason."""
    if len(booster.save_raw("ubj")) > MAX_BYTES:
        raise Unconverted(f"the model has more than {MAX_BYTES} bytes")
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective, outputs = _objective(learner), _outputs(learner)
    forest, weights = _forest(learner["gradient_booster"])
    parameters = learner["learner_model_param"]
    bases = _base_margins(parameters["base_score"], objective, outputs)
    first, last = _tree_range(booster, forest)
    chosen = zip(forest["trees"][first:last], forest["tree_info"][first:last], weights[first:last], strict=True)
    return _graph(bases, list(chosen), int(parameters["num_feature"]))


def transform(booster: Any) -> Callable[[Array], Array]:
    """From margins (rows, outputs) to what `Booster.predict` gives. Raises Unconverted."""
    learner = json.loads(booster.save_config())["learner"]
    finish = _TRANSFORMS[_objective(learner)]
    if _outputs(learner) == 1:
        return lambda margins: finish(margins[:, 0])
    return finish


def samples(booster: Any) -> Array:
    """(rows, features) float32: rows on, just below and just above the trees' own thresholds, with missing values among them."""
    import numpy

    random = numpy.random.default_rng(7)
    forest, _ = _forest(json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"])
    found: dict[int, list[float]] = {}
    for tree in forest["trees"]:
        for left, feature, threshold in zip(
            tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True
        ):
            if left >= 0:
                found.setdefault(feature, []).append(threshold)
    rows = random.normal(size=(_SAMPLES, booster.num_features())).astype(numpy.float32)
    for feature, thresholds in found.items():
        at = random.choice(numpy.array(thresholds, dtype=numpy.float32), _SAMPLES)
        below = numpy.nextafter(at, numpy.float32(-numpy.inf))
        above = numpy.nextafter(at, numpy.float32(numpy.inf))
        rows[:, feature] = numpy.choose(random.integers(0, 3, _SAMPLES), [at, below, above])
    rows[random.random(rows.shape) < 0.1] = numpy.nan
    rows[-1] = numpy.nan
    return rows


def _objective(learner: Mapping[str, Any]) -> str:
    name = str(learner["objective"]["name"])
    if name not in _TRANSFORMS:
        raise Unconverted(f"the objective {name} has no conversion")
    return name


def _outputs(learner: Mapping[str, Any]) -> int:
    """Numbers in one margin."""
    parameters = learner["learner_model_param"]
    return max(1, int(parameters["num_class"]), int(parameters.get("num_target", "1")))


def _forest(trained: Mapping[str, Any]) -> tuple[dict[str, Any], list[float]]:
    """The trees of a gradient booster and a weight for each."""
    if trained["name"] == "gbtree":
        forest = trained["model"]
        weights = [1.0] * len(forest["trees"])
    elif trained["name"] == "dart":
        forest, weights = trained["gbtree"]["model"], trained["weight_drop"]
    else:
        raise Unconverted(f"the booster {trained['name']} has no trees")
    for tree in forest["trees"]:
        if any(tree["split_type"]):
            raise Unconverted("it splits on categories")
        if int(tree["tree_param"]["size_leaf_vector"]) > 1:
            raise Unconverted("its leaves are vectors")
    return forest, weights


def _tree_range(booster: Any, forest: Mapping[str, Any]) -> tuple[int, int]:
    """The trees that predictions use: up to the best iteration, where training stopped early."""
    starts = forest["iteration_indptr"]
    first, last = rounds_of(booster)
    return starts[first], starts[last] if last else starts[-1]


def _base_margins(text: str, objective: str, outputs: int) -> list[float]:
    """The base score, which is stored as a prediction, as margins."""
    import numpy

    given = numpy.atleast_1d(numpy.array(json.loads(text), dtype=numpy.float32))
    if len(given) == 1:
        given = numpy.repeat(given, outputs)
    one = numpy.float32(1)
    if _TRANSFORMS[objective] is _logistic:
        given = -_exact(numpy.log, one / given - one)
    elif _TRANSFORMS[objective] is _exponential:
        given = _exact(numpy.log, given)
    return [float(value) for value in given]


def _graph(bases: list[float], trees: list[tuple[Mapping[str, Any], int, float]], width: int) -> bytes:
    from onnx import TensorProto, helper

    nodes: dict[str, list[Any]] = {name: [] for name in _NODE_COLUMNS}
    leaves: dict[str, list[Any]] = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    for output, base in enumerate(bases):  # a base score is a tree of one leaf that comes first
        _add(nodes, leaves, output, {**_ONE_LEAF, "split_conditions": [base]}, output, 1.0)
    for number, (tree, output, weight) in enumerate(trees, start=len(bases)):
        _add(nodes, leaves, number, tree, output, weight)
    columns: dict[str, Any] = {f"nodes_{name}": values for name, values in nodes.items()}
    columns |= {f"target_{name}": values for name, values in leaves.items()}
    ensemble = helper.make_node(
        "TreeEnsembleRegressor", ["rows"], ["margins"], domain="ai.onnx.ml", n_targets=len(bases),
        aggregate_function="SUM", post_transform="NONE", **columns,
    )  # fmt: skip
    graph = helper.make_graph(
        [ensemble], "booster", [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("margins", TensorProto.FLOAT, [None, len(bases)])],
    )  # fmt: skip
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=_IR).SerializeToString())


def _add(
    nodes: dict[str, list[Any]], leaves: dict[str, list[Any]],
    number: int, tree: Mapping[str, Any], output: int, weight: float,
) -> None:  # fmt: skip
    import numpy

    left, right, value = tree["left_children"], tree["right_children"], tree["split_conditions"]
    inner = [child >= 0 for child in left]
    nodes["treeids"] += [number] * len(left)
    nodes["nodeids"] += range(len(left))
    nodes["featureids"] += tree["split_indices"]
    nodes["modes"] += ["BRANCH_LT" if splits else "LEAF" for splits in inner]
    nodes["values"] += [threshold if splits else 0.0 for splits, threshold in zip(inner, value, strict=True)]
    nodes["truenodeids"] += [max(child, 0) for child in left]
    nodes["falsenodeids"] += [max(child, 0) for child in right]
    nodes["missing_value_tracks_true"] += [int(way) for way in tree["default_left"]]
    for place, splits in enumerate(inner):
        if not splits:
            leaves["treeids"].append(number)
            leaves["nodeids"].append(place)
            leaves["ids"].append(output)
            leaves["weights"].append(float(numpy.float32(value[place]) * numpy.float32(weight)))


def _exact(function: Callable[[Array], Array], values: Array) -> Array:
    """A function in 64 bits, rounded to 32: what the C library's 32-bit function gives, where numpy's own differs in the last bit."""
    return function(values.astype("float64")).astype("float32")


def _identity(margins: Array) -> Array:
    return margins


def _logistic(margins: Array) -> Array:
    import numpy

    one = numpy.float32(1)
    return one / (_exact(numpy.exp, numpy.minimum(-margins, numpy.float32(_MAX_EXPONENT))) + one)


def _exponential(margins: Array) -> Array:
    import numpy

    return _exact(numpy.exp, margins)


def _softmax(margins: Array) -> Array:
    import numpy

    shares = _exact(numpy.exp, margins - margins.max(axis=1, keepdims=True))
    return shares / numpy.cumsum(shares, axis=1, dtype=numpy.float64)[:, -1:].astype(numpy.float32)


def _best(margins: Array) -> Array:
    best: Array = margins.argmax(axis=1).astype("float32")
    return best


def _hinge(margins: Array) -> Array:
    return (margins > 0).astype("float32")


_NODE_COLUMNS = (
    "treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true"
)  # fmt: skip
_ONE_LEAF: Mapping[str, Any] = {
    "left_children": [-1],
    "right_children": [-1],
    "split_indices": [0],
    "default_left": [0],
}
_TRANSFORMS: Mapping[str, Callable[[Array], Array]] = {  # XGBoost documentation, "Learning Task Parameters"
    "binary:logistic": _logistic,
    "reg:logistic": _logistic,
    "binary:logitraw": _identity,
    "binary:hinge": _hinge,
    "multi:softprob": _softmax,
    "multi:softmax": _best,
    "reg:squarederror": _identity,
    "reg:squaredlogerror": _identity,
    "reg:pseudohubererror": _identity,
    "reg:absoluteerror": _identity,
    "reg:quantileerror": _identity,
    "reg:gamma": _exponential,
    "reg:tweedie": _exponential,
    "count:poisson": _exponential,
    "survival:cox": _exponential,
    "survival:aft": _exponential,
    "rank:pairwise": _identity,
    "rank:ndcg": _identity,
    "rank:map": _identity,
}
