"""Training data as CSV: the usual forms are read, and a broken file is refused with its name and line."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import xgboost

from kenja_worker.algorithms import ClientError, channels
from kenja_worker.algorithms.algorithm import Channel, Job
from kenja_worker.algorithms.channels import files
from tests.worker.boosting import ALGORITHM, BINARY, body, channel, csv, fit, table


def test_several_files_of_a_channel_are_one_table(tmp_path: Path) -> None:
    rows = table()
    whole, _ = fit(tmp_path / "whole", {}, rows, validation=False)
    parts = channel(tmp_path, "train", csv(rows[:90]), csv(rows[90:200]) + b"\n")
    (parts.folder / "_SUCCESS").write_bytes(b"not data")
    (parts.folder / ".hidden").write_bytes(b"not data")
    values = ALGORITHM.hyperparameters.parse({"num_round": "8"}).values
    split = ALGORITHM.fit(values, Job(channels={"train": parts}, say=lambda line: None))
    assert body(split) == body(whole)


GOOD = b"1,2,3\n0,4,5\n1,6,7\n0,8,9\n"


@pytest.mark.parametrize(
    "data",
    [
        GOOD.replace(b"\n", b"\r\n"), GOOD.replace(b",", b"\t"), GOOD.replace(b",", b";"), GOOD.replace(b",", b" "),
        b"\xef\xbb\xbf" + GOOD, b"\n" + GOOD + b"\n\n", GOOD.replace(b",", b", "),
    ],
)  # fmt: skip
def test_usual_forms_of_csv_are_the_same_data(tmp_path: Path, data: bytes) -> None:
    values = ALGORITHM.hyperparameters.parse({"num_round": "3", "min_child_weight": "0", **BINARY}).values
    models = [
        ALGORITHM.fit(values, Job(channels={"train": channel(tmp_path / kind, "train", text)}, say=lambda line: None))
        for kind, text in (("good", GOOD), ("other", data))
    ]
    assert body(models[0]) == body(models[1])


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"label,a,b\n" + GOOD, "part-0.csv, line 1: 'label' is not a number. If this is a header line"),
        (GOOD + b"1,x,3\n", "part-0.csv, line 5: 'x' is not a number"),
        (GOOD + b"1,2\n", "part-0.csv, line 5: 2 columns, but 3"),
        (GOOD + b"1,2,3,4\n", "part-0.csv, line 5: 4 columns, but 3"),
        (b"1,2,3,4\n1,2\n1,2,3\n", "line 2: 2 columns"),  # ragged, though the number of values fits a table
        (GOOD + b",2,3\n", "part-0.csv, line 5: the label.*missing"),
        (GOOD + b"nan,2,3\n", "line 5: the label"),
        (GOOD + b"1,inf,3\n", "line 5: inf is infinite"),
        (GOOD + b"1,1e39,3\n", "line 5: 1e39 is infinite or too large"),
        (GOOD + b'1,"2",3\n', "line 5"),
        (GOOD + b"1,1_0,3\n", "line 5: '1_0' is not a number"),
        (b"", "part-0.csv is empty"),
        (b"\n\n", "part-0.csv is empty"),
        (b"1\n0\n", "one column"),
        (b"\x1f\x8b\x08\x00binary\xff\n", "line 1: .*is not a number"),
        (b"PAR1\x00\x00", "is not a number"),
    ],
)
def test_broken_csv_is_refused_with_file_and_line(tmp_path: Path, data: bytes, named: str) -> None:
    values = ALGORITHM.hyperparameters.parse({"num_round": "3"}).values
    with pytest.raises(ClientError, match=f"channel 'train', file .*{named}"):
        ALGORITHM.fit(values, Job(channels={"train": channel(tmp_path, "train", data)}, say=lambda line: None))


def test_files_of_different_width_are_refused(tmp_path: Path) -> None:
    values = ALGORITHM.hyperparameters.parse({"num_round": "3"}).values
    train = channel(tmp_path, "train", GOOD, b"1,2\n")
    with pytest.raises(ClientError, match=r"part-1\.csv has 2 columns"):
        ALGORITHM.fit(values, Job(channels={"train": train}))
    channels = {
        "train": channel(tmp_path / "a", "train", GOOD),
        "validation": channel(tmp_path, "validation", b"1,2\n"),
    }
    with pytest.raises(ClientError, match="'validation' has 1 features, channel 'train' has 2"):
        ALGORITHM.fit(values, Job(channels=channels, say=lambda line: None))


@pytest.mark.parametrize("content_type", ["text/csv", "csv", "TEXT/CSV; label_size=1", "text/csv;charset=utf8"])
def test_content_types_of_csv_are_accepted(tmp_path: Path, content_type: str) -> None:
    values = ALGORITHM.hyperparameters.parse({"num_round": "1"}).values
    train = channel(tmp_path, "train", GOOD, content_type=content_type)
    assert ALGORITHM.fit(values, Job(channels={"train": train}, say=lambda line: None)).num_features() == 2


@pytest.mark.parametrize(
    ("content_type", "mode", "named"),
    [
        ("", "File", "'1,2,3' is not a number.*has no ContentType, which means libsvm"),
        ("text/csv;label_size=2", "File", "label_size=2"),
        ("text/csv; charset=utf-16", "File", "charset=utf-16"),
        ("image/png", "File", "'train' has the ContentType 'image/png'.*text/csv, text/libsvm, application/x-parquet"),
        ("text/csv", "Pipe", "no pipe .*train_0"),
        ("text/libsvm", "Pipe", "Pipe, which is not supported for libsvm"),
    ],
)  # fmt: skip
def test_other_content_types_are_refused(tmp_path: Path, content_type: str, mode: str, named: str) -> None:
    values = ALGORITHM.hyperparameters.parse({"num_round": "1"}).values
    train = channel(tmp_path, "train", GOOD)
    with pytest.raises(ClientError, match=named):
        ALGORITHM.fit(values, Job(channels={"train": Channel("train", train.folder, content_type, mode)}))


def test_channels_are_train_and_validation(tmp_path: Path) -> None:
    values = ALGORITHM.hyperparameters.parse({"num_round": "1"}).values
    with pytest.raises(ClientError, match="Missing required channel: train"):
        ALGORITHM.fit(values, Job(channels={"validation": channel(tmp_path, "validation", GOOD)}))
    with pytest.raises(ClientError, match="Extraneous channel found: 'test'"):
        ALGORITHM.fit(values, Job(channels={"test": channel(tmp_path, "test", GOOD)}))


WEIGHTED = b"1,0.5,2,3\n0,2,4,5\n1,1,6,7\n0,1,8,9\n"


def test_csv_weights_take_the_second_column(tmp_path: Path) -> None:
    values = ALGORITHM.hyperparameters.parse({"num_round": "3", "min_child_weight": "0", "csv_weights": "1"}).values
    train = channel(tmp_path, "train", WEIGHTED)
    model = ALGORITHM.fit(values, Job(channels={"train": train}, say=lambda line: None))
    rows = numpy.loadtxt(WEIGHTED.decode().splitlines(), delimiter=",")
    matrix = xgboost.DMatrix(rows[:, 2:], rows[:, 0], weight=rows[:, 1])
    bare = xgboost.train({"min_child_weight": 0}, matrix, 3)
    assert model.num_features() == 2
    assert numpy.allclose(ALGORITHM.predict(model, rows[:, 2:].astype("float32")), bare.predict(matrix), atol=1e-6)
    without = xgboost.train({"min_child_weight": 0}, xgboost.DMatrix(rows[:, 2:], rows[:, 0]), 3)
    assert not numpy.allclose(without.predict(matrix), bare.predict(matrix), atol=1e-3)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (WEIGHTED + b"1,-1,2,3\n", "line 5: the weight.*missing or negative"),
        (WEIGHTED + b"1,,2,3\n", "line 5: the weight.*missing or negative"),
        (b"1,1\n0,1\n", "the label, the weight and at least one feature"),
    ],
)
def test_broken_weights_are_refused_with_file_and_line(tmp_path: Path, data: bytes, named: str) -> None:
    values = ALGORITHM.hyperparameters.parse({"num_round": "3", "csv_weights": "1"}).values
    with pytest.raises(ClientError, match=f"channel 'train', file part-0.csv.*{named}"):
        ALGORITHM.fit(values, Job(channels={"train": channel(tmp_path, "train", data)}, say=lambda line: None))


def test_lines_are_counted_over_blocks(tmp_path: Path) -> None:
    rows = b"".join(b"%d,%d,%01000d\n" % (number % 2, number, number) for number in range(2 * files.BLOCK // 1000))
    path = tmp_path / "big.csv"
    path.write_bytes(rows + b"1,oops,3\n")
    with path.open("rb") as stream:
        pieces = list(files.lines(files.Source(stream, "big", 0), size=files.BLOCK // 16))
    assert len(pieces) > 30
    assert b"".join(piece for piece, _ in pieces) == path.read_bytes()
    assert all(piece.endswith(b"\n") for piece, _ in pieces)
    assert pieces[5][1] == 1 + b"".join(piece for piece, _ in pieces[:5]).count(b"\n")
    with pytest.raises(ClientError, match=f"line {rows.count(10) + 1}: 'oops' is not a number"):
        channels.read(Channel("train", tmp_path, "text/csv"))
