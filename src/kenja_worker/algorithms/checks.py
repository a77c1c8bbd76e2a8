"""Behaviour checks that every built-in algorithm must pass, on its own example. A new algorithm is tested by existing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kenja_worker.algorithms.algorithm import Algorithm, Channel, Job
from kenja_worker.algorithms.errors import ClientError

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

Check = Callable[[Algorithm, Path], None]  # raises AssertionError; the folder is empty and the check's own


def same_input_gives_same_answers(algorithm: Algorithm, folder: Path) -> None:
    first = _answers(algorithm, _fit(algorithm, folder / "first"))
    second = _answers(algorithm, _fit(algorithm, folder / "second"))
    _require(_equal(first, second), "two runs with one seed and one input gave different answers")


def other_data_gives_another_model(algorithm: Algorithm, folder: Path) -> None:
    example = algorithm.example()
    train = example.channels["train"]
    fewer = b"\n".join(train.split(b"\n")[: train.count(b"\n") // 2])
    whole = _answers(algorithm, _fit(algorithm, folder / "whole"))
    part = _answers(algorithm, _fit(algorithm, folder / "part", {**example.channels, "train": fewer}))
    _require(not _equal(whole, part), "half of the training data gave the same answers as all of it")


def rows_change_the_answer(algorithm: Algorithm, folder: Path) -> None:
    answers = _answers(algorithm, _fit(algorithm, folder)).tolist()
    _require(len(answers) == len(algorithm.example().rows), "there is not one answer a row")
    _require(any(answer != answers[0] for answer in answers), "all rows of the example got the same answer")


def saved_and_loaded_is_equal(algorithm: Algorithm, folder: Path) -> None:
    model = _fit(algorithm, folder / "input")
    algorithm.save(model, folder / "model")
    loaded = algorithm.load(folder / "model")
    _require(_equal(_answers(algorithm, model), _answers(algorithm, loaded)), "a loaded model answers differently")


def served_is_predicted(algorithm: Algorithm, folder: Path) -> None:
    import numpy

    from kenja_worker.modelserver.server import open_handler

    model = _fit(algorithm, folder / "input")
    algorithm.save(model, folder / "model")
    handler = open_handler(algorithm.name, folder / "model")
    rows = numpy.array(algorithm.example().rows, dtype=numpy.float32)
    _require(_equal(_answers(algorithm, model), handler.predict(handler.join([rows[:1], rows[1:]]))), "served differs")


def wrong_width_is_refused(algorithm: Algorithm, folder: Path) -> None:
    import numpy

    model = _fit(algorithm, folder)
    width = len(algorithm.example().rows[0])
    _refuses(lambda: algorithm.predict(model, numpy.zeros((1, width + 1), dtype=numpy.float32)), str(width))


def empty_channel_is_refused(algorithm: Algorithm, folder: Path) -> None:
    _refuses(lambda: _fit(algorithm, folder, {**algorithm.example().channels, "train": b""}), "train")
    empty = folder / "nothing"
    empty.mkdir()
    kind = algorithm.example().content_type
    values = algorithm.hyperparameters.parse(algorithm.example().hyperparameters).values
    _refuses(lambda: algorithm.fit(values, _job({"train": Channel("train", empty, kind)})), "train")


def missing_model_is_refused(algorithm: Algorithm, folder: Path) -> None:
    _refuses(lambda: algorithm.load(folder), "model")


def unknown_hyperparameter_is_refused(algorithm: Algorithm, folder: Path) -> None:
    given = {**algorithm.example().hyperparameters, "no_such_thing": "1"}
    _refuses(lambda: algorithm.hyperparameters.parse(given), "no_such_thing")


def declarations_need_no_library(algorithm: Algorithm, folder: Path) -> None:
    module = importlib.import_module(f"kenja_worker.algorithms.{algorithm.name}")
    _require(module.algorithm is algorithm, "the module declares another algorithm")
    names = [name for entry in algorithm.hyperparameters.entries for name in (entry.name, *entry.aliases)]
    _require(len(names) == len(set(names)), "two hyper-parameters share a name")
    _require(len({metric.name for metric in algorithm.metrics}) == len(algorithm.metrics), "two metrics share a name")
    for entry in algorithm.hyperparameters.entries:
        if entry.default:
            entry.read(entry.default)


CHECKS: tuple[Check, ...] = (
    same_input_gives_same_answers,
    other_data_gives_another_model,
    rows_change_the_answer,
    saved_and_loaded_is_equal,
    served_is_predicted,
    wrong_width_is_refused,
    empty_channel_is_refused,
    missing_model_is_refused,
    unknown_hyperparameter_is_refused,
    declarations_need_no_library,
)


def _fit(algorithm: Algorithm, folder: Path, channels: Mapping[str, bytes] | None = None) -> Any:
    example = algorithm.example()
    found: dict[str, Channel] = {}
    for name, data in (channels or example.channels).items():
        place = folder / name
        place.mkdir(parents=True)
        (place / "part-0").write_bytes(data)
        found[name] = Channel(name, place, example.content_type)
    return algorithm.fit(algorithm.hyperparameters.parse(example.hyperparameters).values, _job(found))


def _job(channels: Mapping[str, Channel]) -> Job:
    lines: list[str] = []
    return Job(channels=channels, say=lines.append)


def _answers(algorithm: Algorithm, model: Any) -> Array:
    import numpy

    return algorithm.predict(model, numpy.array(algorithm.example().rows, dtype=numpy.float32))


def _equal(first: Array, second: Array) -> bool:
    import numpy

    return numpy.array_equal(first, second)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _refuses(call: Callable[[], object], named: str) -> None:
    try:
        call()
    except ClientError as error:
        _require(named in str(error), f"the refusal does not name '{named}': {error}")
        return
    raise AssertionError(f"bad input was accepted; a ClientError that names '{named}' was expected")
