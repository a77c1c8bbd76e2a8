"""Requests and answers of a served booster beyond tables: libsvm, RecordIO-protobuf, and selected answers by name."""

from __future__ import annotations

import csv as csvs
import io
import json
from pathlib import Path
from typing import Any

import numpy
import pytest
import sklearn.datasets
import xgboost

from kenja_worker.algorithms import ClientError
from kenja_worker.algorithms.channels import record, recordio
from kenja_worker.algorithms.xgboost import serve
from kenja_worker.modelserver.handler import Invocation, Refused
from tests.worker.boosting import ALGORITHM, fit, table

RECORDIO = "application/x-recordio-protobuf"
ROWS = table()[:6, 1:]
CLASSES = {"objective": "multi:softprob", "num_class": "3"}


def served(folder: Path, given: dict[str, str], kind: str = "binary") -> tuple[serve.XGBoostHandler, Any]:
    model, _ = fit(folder, given, table(kind))
    ALGORITHM.save(model, folder / "model")
    return serve.open_handler(folder / "model"), model  # type: ignore[return-value]


def libsvm(rows: numpy.ndarray, *, labels: bool) -> bytes:
    made = io.BytesIO()
    sparse = [[(place, value) for place, value in enumerate(row) if not numpy.isnan(value)] for row in rows.tolist()]
    for row in sparse:
        made.write((b"1 " if labels else b"") + " ".join(f"{place}:{value!r}" for place, value in row).encode() + b"\n")
    return made.getvalue()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("text/libsvm", libsvm(ROWS, labels=True)),
        ("text/x-libsvm", libsvm(ROWS, labels=False)),
        (RECORDIO, b"".join(map(recordio.frame, record.dense(ROWS)))),
        (RECORDIO, b"".join(map(recordio.frame, record.dense(ROWS.astype("float64"), numpy.ones(6))))),
    ],
)
def test_requests_of_every_content_type_get_the_same_answers(tmp_path: Path, kind: str, data: bytes) -> None:
    handler, model = served(tmp_path, {"objective": "binary:logistic"})
    answers = handler.predict(handler.decode(Invocation(data, kind)))
    assert numpy.allclose(answers, model.predict(xgboost.DMatrix(ROWS)), atol=1e-6)
    answer = handler.encode(answers, Invocation(data, kind))
    assert answer.content_type.startswith("text/csv")
    assert [float(number) for number in answer.body.split(b",")] == pytest.approx(answers.tolist())


def test_sparse_records_are_rows_with_missing_values(tmp_path: Path) -> None:
    handler, model = served(tmp_path, {"objective": "binary:logistic"})
    matrix = sklearn.datasets.load_svmlight_file(io.BytesIO(libsvm(ROWS, labels=True)), n_features=6, zero_based=True)[
        0
    ]
    data = b"".join(map(recordio.frame, record.sparse(matrix)))
    answers = handler.predict(handler.decode(Invocation(data, RECORDIO)))
    assert numpy.allclose(answers, model.predict(xgboost.DMatrix(ROWS)), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("text/libsvm", b"1 6:1", "index 6; the model was trained with 6 features"),
        ("text/libsvm", b"1 x:1", "request, line 1: 'x'"),
        ("text/libsvm", b" \n", "empty"),
        (RECORDIO, b"", "empty"),
        (RECORDIO, b"".join(map(recordio.frame, record.dense(ROWS[:, :2]))), "2 features"),
        (RECORDIO, recordio.frame(b"\x08"), "record 1"),
    ],
)
def test_bad_requests_are_refused(tmp_path: Path, kind: str, data: bytes, told: str) -> None:
    handler, _ = served(tmp_path, {"objective": "binary:logistic"})
    with pytest.raises(Refused, match=told) as refused:
        handler.decode(Invocation(data, kind))
    assert refused.value.status == 400


def test_selected_answers_are_named_in_every_media_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_INFERENCE_OUTPUT", "predicted_label, probabilities,labels")
    handler, model = served(tmp_path, CLASSES, "classes")
    shares = model.predict(xgboost.DMatrix(ROWS))
    expected = [
        {"predicted_label": int(row.argmax()), "probabilities": row.tolist(), "labels": [0, 1, 2]} for row in shares
    ]
    answers = handler.predict(ROWS)
    plain = json.loads(handler.encode(answers, Invocation(b"", "text/csv", "application/json")).body)["predictions"]
    assert [list(row) for row in plain] == [list(row) for row in expected]
    assert [row["predicted_label"] for row in plain] == [row["predicted_label"] for row in expected]
    assert numpy.allclose([row["probabilities"] for row in plain], shares, atol=1e-6)
    lines = handler.encode(answers, Invocation(b"", "text/csv", "application/jsonlines")).body.splitlines()
    assert [json.loads(line) for line in lines] == plain
    table_rows = list(csvs.reader(io.StringIO(handler.encode(answers, Invocation(b"")).body.decode())))
    assert [(int(row[0]), json.loads(row[1]), json.loads(row[2])) for row in table_rows] == [
        (row["predicted_label"], row["probabilities"], row["labels"]) for row in plain
    ]
    packed = handler.encode(answers, Invocation(b"", "text/csv", RECORDIO)).body
    labels = [record.decode(one)[1] for one in recordio.records(io.BytesIO(packed), "x")]
    assert numpy.allclose([one["probabilities"].values for one in labels], shares, atol=1e-6)
    with pytest.raises(Refused, match="image/png") as refused:
        handler.encode(answers, Invocation(b"", "text/csv", "image/png"))
    assert refused.value.status == 406


@pytest.mark.parametrize(
    ("objective", "kind", "expected"),
    [
        ("binary:logistic", "binary", lambda p: {"predicted_label": int(p > 0.5), "probability": p, "raw_scores": [1 - p, p], "predicted_score": None}),
        ("binary:logitraw", "binary", lambda p: {"predicted_label": int(p > 0), "probability": None, "raw_scores": [1 - p, p], "predicted_score": None}),
        ("binary:hinge", "binary", lambda p: {"predicted_label": p, "probability": p, "raw_scores": [1 - p, p], "predicted_score": None}),
        ("reg:squarederror", "number", lambda p: {"predicted_label": None, "probability": None, "raw_scores": None, "predicted_score": p}),
    ],
)  # fmt: skip
def test_selected_answers_of_an_objective(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str, kind: str, expected: Any
) -> None:
    monkeypatch.setenv("SAGEMAKER_INFERENCE_OUTPUT", "predicted_label,probability,raw_scores,predicted_score")
    handler, model = served(tmp_path, {"objective": objective}, kind)
    body = handler.encode(handler.predict(ROWS), Invocation(b"", "text/csv", "application/json")).body
    truth = [expected(float(number)) for number in model.predict(xgboost.DMatrix(ROWS))]
    for found, wanted in zip(json.loads(body)["predictions"], truth, strict=True):
        assert list(found) == list(wanted)
        for name, value in wanted.items():
            assert found[name] == (value if value is None else pytest.approx(value, abs=1e-5))


def test_a_wrong_selection_is_refused_when_the_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = fit(tmp_path, {"objective": "count:poisson"}, table("positive"))
    ALGORITHM.save(model, tmp_path / "model")
    for wanted, told in (("happiness", "names happiness"), ("predicted_label", "no selectable answers")):
        monkeypatch.setenv("SAGEMAKER_INFERENCE_OUTPUT", wanted)
        with pytest.raises(ClientError, match=told):
            serve.open_handler(tmp_path / "model")
