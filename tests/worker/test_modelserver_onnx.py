"""The ONNX form of a booster beside the library's own predictions, and a model server that takes it over while it serves."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import xgboost

from kenja_worker.algorithms.xgboost import model, onnx, serve
from kenja_worker.modelserver import graphs
from kenja_worker.modelserver.frames import Frame, Kind
from kenja_worker.modelserver.upgrade import Unconverted, Upgrade
from tests.worker.test_modelserver import Peer, booster, csv, running

WIDTH = 5


def table(rows: int, seed: int) -> numpy.ndarray:
    random = numpy.random.default_rng(seed)
    made = random.normal(size=(rows, WIDTH)).astype(numpy.float32)
    made[random.random(made.shape) < 0.1] = numpy.nan
    return made


TRAIN, SIGNAL = table(600, 1), numpy.nan_to_num(table(600, 1)[:, 0] * 2 - table(600, 1)[:, 1])
LABELS: dict[str, Any] = {
    "binary": SIGNAL > 0,
    "classes": numpy.digitize(SIGNAL, [-1, 1]),
    "number": SIGNAL * 1000,
    "pair": numpy.stack([SIGNAL, -SIGNAL], axis=1),
    "count": (numpy.abs(SIGNAL) * 3).astype(int),
    "positive": numpy.abs(SIGNAL) + 0.1,
}
OBJECTIVES = [
    ("binary:logistic", "binary", {}), ("binary:logistic", "binary", {"base_score": 0.02}), ("binary:hinge", "binary", {}),
    ("binary:logitraw", "binary", {"base_score": 0.3}), ("reg:logistic", "binary", {}),
    ("binary:logistic", "binary", {"booster": "dart", "rate_drop": 0.3}),
    ("binary:logistic", "binary", {"num_parallel_tree": 3, "subsample": 0.5}),
    ("multi:softprob", "classes", {"num_class": 3}), ("multi:softmax", "classes", {"num_class": 3}),
    ("reg:squarederror", "number", {}), ("reg:squarederror", "number", {"base_score": -37.5}), ("reg:squarederror", "pair", {}),
    ("reg:absoluteerror", "number", {}), ("reg:pseudohubererror", "number", {}), ("reg:gamma", "positive", {}),
    ("reg:tweedie", "positive", {}), ("count:poisson", "count", {"base_score": 2.5}), ("survival:cox", "positive", {}),
]  # fmt: skip


def trained(objective: str, labels: str, **parameters: Any) -> xgboost.Booster:
    settings: dict[str, Any] = {"objective": objective, "nthread": 1, **parameters}
    if parameters.get("booster") != "gblinear":
        settings["max_depth"] = 5
    return xgboost.train(settings, xgboost.DMatrix(TRAIN, label=LABELS[labels]), 20)


@pytest.mark.parametrize(("objective", "labels", "parameters"), OBJECTIVES)
def test_a_graph_predicts_as_the_library_does(objective: str, labels: str, parameters: dict[str, Any]) -> None:
    forest = trained(objective, labels, **parameters)
    graph = serve.converted(forest)
    rows = table(3000, 9)
    truth = forest.predict(xgboost.DMatrix(rows))
    margins = forest.predict(xgboost.DMatrix(rows), output_margin=True).reshape(len(rows), -1)
    assert numpy.array_equal(graphs.open_graph(graph)(rows), margins)  # to the bit: the same sums in the same order
    predict = serve.predictor(forest, graph)
    for size in (1, 5, 3000):
        found = numpy.concatenate([predict(rows[start : start + size]) for start in range(0, 3000, size)])
        assert found.dtype == truth.dtype
        assert found.shape == truth.shape
        assert numpy.allclose(found, truth, rtol=1e-6, atol=0)


def test_a_graph_stops_at_the_best_iteration() -> None:
    halves = [xgboost.DMatrix(TRAIN[half], label=LABELS["binary"][half]) for half in (slice(0, 300), slice(300, 600))]
    forest = xgboost.train(
        {"objective": "binary:logistic", "nthread": 1, "eta": 1.0}, halves[0], 60, evals=[(halves[1], "validation")],
        early_stopping_rounds=3, verbose_eval=False,
    )  # fmt: skip
    assert forest.best_iteration + 1 < forest.num_boosted_rounds()
    rows = table(200, 3)
    truth = forest.predict(xgboost.DMatrix(rows), iteration_range=(0, forest.best_iteration + 1))
    assert numpy.allclose(serve.predictor(forest, serve.converted(forest))(rows), truth, rtol=1e-6, atol=0)
    assert not numpy.allclose(truth, forest.predict(xgboost.DMatrix(rows), iteration_range=(0, 0)), rtol=1e-3)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: trained("binary:logistic", "binary", booster="gblinear"), "gblinear has no trees"),
        (lambda: trained("reg:squarederror", "pair", multi_strategy="multi_output_tree"), "leaves are vectors"),
    ],
)
def test_what_has_no_graph_says_why(make: Callable[[], xgboost.Booster], reason: str) -> None:
    with pytest.raises(Unconverted, match=reason):
        serve.converted(make())


def test_categories_have_no_graph() -> None:
    import pandas

    frame = pandas.DataFrame({"kind": pandas.Categorical(["a", "b", "c"] * 100), "x": numpy.arange(300.0)})
    label = (frame["kind"] == "b").astype(int)
    matrix = xgboost.DMatrix(frame, label=label, enable_categorical=True)
    forest = xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_cat_to_onehot": 1}, matrix, 3)
    with pytest.raises(Unconverted, match="categories"):
        onnx.convert(forest)


def test_samples_stand_on_the_thresholds_and_miss_values() -> None:
    forest = trained("binary:logistic", "binary")
    rows = onnx.samples(forest)
    trees = json.loads(bytes(forest.save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]
    thresholds = {
        (feature, numpy.float32(threshold))
        for tree in trees
        for left, feature, threshold in zip(
            tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True
        )
        if left >= 0
    }
    on = sum((feature, value) in thresholds for row in rows for feature, value in enumerate(row))
    assert on > rows.size * 0.2
    assert 0.05 < numpy.isnan(rows).mean() < 0.2
    assert numpy.isnan(rows[-1]).all()


@pytest.mark.parametrize("difference", [1e-3, -2e-5])
def test_a_conversion_that_differs_is_refused(difference: float) -> None:
    forest = trained("binary:logistic", "binary")
    rows = onnx.samples(forest)
    truth = model.predict(forest, rows)
    graphs.prove(lambda few: model.predict(forest, few), rows, truth)
    with pytest.raises(Unconverted, match="otherwise, by up to"):
        graphs.prove(lambda few: model.predict(forest, few) + numpy.float32(difference), rows, truth)
    with pytest.raises(Unconverted, match="in the form"):
        graphs.prove(lambda few: model.predict(forest, few)[:, None], rows, truth)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: b"made", "took made after"),
        (lambda: (_ for _ in ()).throw(Unconverted("no trees")), "own library only: no trees"),
        (lambda: 1 // 0, "ZeroDivisionError"),
        (lambda: signal.raise_signal(signal.SIGKILL), "ended with code -9"),
    ],
)
def test_an_upgrade_tells_how_it_ended(make: Callable[[], Any], line: str) -> None:
    upgrade = Upgrade(make, lambda data: f"took {data.decode()}")
    assert line in upgrade.finish()


def test_a_server_takes_its_faster_form_over_and_answers_as_before(tmp_path: Path) -> None:
    forest = booster()
    rows = numpy.random.default_rng(4).normal(size=(300, 4)).astype(numpy.float32)
    truth = forest.predict(xgboost.DMatrix(rows))
    with running(tmp_path, forest) as (path, process), Peer(path) as peer:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        early = peer.ask(csv(rows[:1]))
        assert "ONNX Runtime after" in process.stdout.readline()
        late = peer.ask(csv(rows[:1]))
        assert float(late.body) == pytest.approx(float(early.body), rel=1e-6)
        peer.send(*[Frame(number, Kind.INVOKE, csv(rows[number : number + 1]), b"text/csv") for number in range(300)])
        answers = peer.receive(300)
        assert numpy.allclose([float(answers[number].body) for number in range(300)], truth, rtol=1e-6)
        many = peer.ask(csv(rows))
        assert numpy.allclose([float(word) for word in many.body.split(b",")], truth, rtol=1e-6)


def test_small_requests_are_cheaper_by_the_graph() -> None:
    forest = trained("binary:logistic", "binary")
    predict, row = serve.predictor(forest, serve.converted(forest)), TRAIN[:1]

    def cost(call: Callable[[], Any]) -> float:
        for _ in range(20):
            call()
        began = time.process_time()
        for _ in range(300):
            call()
        return time.process_time() - began

    assert cost(lambda: predict(row)) * 2 < cost(lambda: model.predict(forest, row))
