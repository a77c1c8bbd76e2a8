"""The training program of the built-in algorithms by the container contract, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xgboost

CSV = b"\n".join(b"%d,%d,%d" % (first > second, first, second) for first in range(20) for second in range(20))


def prepare(base: Path, hyperparameters: dict[str, str], channels: dict[str, bytes], **resources: Any) -> None:
    config = base / "input" / "config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    described = {name: {"ContentType": "text/csv", "TrainingInputMode": "File"} for name in channels}
    (config / "inputdataconfig.json").write_text(json.dumps(described))
    (config / "resourceconfig.json").write_text(
        json.dumps({"current_host": "algo-1", "hosts": ["algo-1"], **resources})
    )
    for name, data in channels.items():
        folder = base / "input" / "data" / name
        folder.mkdir(parents=True)
        (folder / "data.csv").write_bytes(data)


def start(base: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kenja_worker.algorithms.train", *arguments],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(base)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def train(base: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(base, *(arguments or ("xgboost",)))
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_a_run_leaves_the_model_where_the_contract_says(tmp_path: Path) -> None:
    given = {"num_round": "5", "objective": '"binary:logistic"', "eval_metric": "logloss", "sketch_eps": "0.1"}
    prepare(tmp_path, given, {"train": CSV, "validation": CSV})
    code, out, err = train(tmp_path)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("Note: Hyperparameter 'sketch_eps' has no effect")
    assert lines[1] == "Train matrix has 400 rows and 2 columns"
    assert len([line for line in lines if line.startswith("[")]) == 5
    assert lines[-1].startswith("[4]\ttrain-logloss:0.")
    assert "\tvalidation-logloss:0." in lines[-1]
    booster = xgboost.Booster()
    booster.load_model(bytearray((tmp_path / "model" / "xgboost-model").read_bytes()))
    assert booster.num_boosted_rounds() == 5
    assert not (tmp_path / "output" / "failure").exists()


@pytest.mark.parametrize(
    ("hyperparameters", "data", "sentence"),
    [
        ({"num_round": "5", "max_deep": "3"}, CSV, "'max_deep'"),
        ({}, CSV, "Missing required hyperparameter: num_round"),
        ({"num_round": "5"}, b"a,b,c\n1,2,3\n", "file data.csv, line 1: 'a' is not a number"),
        ({"num_round": "5"}, CSV + b"\n1,2\n", "file data.csv, line 401: 2 columns, but 3"),
        ({"num_round": "5", "objective": "binary:logistic"}, b"5,1\n6,2\n", "label must be in"),
    ],
)
def test_bad_input_is_a_client_error_in_failure_and_on_stderr(
    tmp_path: Path, hyperparameters: dict[str, str], data: bytes, sentence: str
) -> None:
    prepare(tmp_path, hyperparameters, {"train": data})
    code, _, err = train(tmp_path)
    failure = (tmp_path / "output" / "failure").read_text()
    assert code == 1
    assert failure.startswith("ClientError: ")
    assert sentence in failure
    assert err.strip() == failure
    assert not (tmp_path / "model" / "xgboost-model").exists()


def test_an_unknown_algorithm_several_hosts_and_no_arguments_are_refused(tmp_path: Path) -> None:
    prepare(tmp_path, {"num_round": "5"}, {"train": CSV}, hosts=["algo-1", "algo-2"])
    for arguments, sentence in ((("nothing",), "'nothing'"), ((), "2 instances"), (("a", "b"), "Usage")):
        code, _, err = train(tmp_path, *arguments)
        assert code == 1
        assert sentence in err
        assert sentence in (tmp_path / "output" / "failure").read_text()


def test_a_broken_contract_file_is_not_the_callers_fault(tmp_path: Path) -> None:
    prepare(tmp_path, {"num_round": "5"}, {"train": CSV})
    (tmp_path / "input" / "config" / "hyperparameters.json").write_text("{")
    code, _, err = train(tmp_path)
    assert code == 1
    assert err.startswith("AlgorithmError: ")
    assert "hyperparameters.json" in err


@pytest.mark.parametrize(("save", "kept"), [("true", True), ("false", False), (None, False)])
def test_sigterm_keeps_the_model_so_far_when_asked(tmp_path: Path, save: str | None, kept: bool) -> None:
    given = {"num_round": "1000000", "objective": "binary:logistic"}
    prepare(tmp_path, given if save is None else {**given, "save_model_on_termination": save}, {"train": CSV})
    process = start(tmp_path, "xgboost")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("[3]"):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    path = tmp_path / "model" / "xgboost-model"
    assert path.exists() == kept
    if kept:
        booster = xgboost.Booster()
        booster.load_model(bytearray(path.read_bytes()))
        assert booster.num_boosted_rounds() >= 4
