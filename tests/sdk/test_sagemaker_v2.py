"""An unmodified script of the sagemaker SDK v2 inside `kenja run`, with no bucket and no role given, by an interpreter of its own.

What it sees is what the libraries themselves give; nothing leaves the machine.
"""

from __future__ import annotations

import io
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression

from tests.conftest import RunningServer, wait_until
from tests.sdk.shell import SCRIPTS, Shell, open_shell
from tests.services.sagemaker.training_jobs import unpacked

pytestmark = [pytest.mark.sdk, pytest.mark.slow, pytest.mark.timeout(600)]
COLUMNS = 5
ROUNDS = 12  # as in the script


def table(rows: int, seed: int) -> np.ndarray:
    """Label first; the truth is a formula with noise."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, COLUMNS)).round(5)
    signal = values[:, 0] - values[:, 1] * values[:, 2] + 0.3 * random.normal(size=rows)
    return np.column_stack([signal > 0, values])


def logloss(model: xgboost.Booster, rows: np.ndarray) -> float:
    scores = model.predict(xgboost.DMatrix(rows[:, 1:])).astype(float)
    return float(-np.log(np.where(rows[:, 0] == 1, scores, 1 - scores)).mean())


@dataclass(frozen=True)
class Run:
    """The script's run: what it noted and what it printed."""

    facts: dict[str, Any]
    output: str
    shell: Shell
    train: np.ndarray
    validation: np.ndarray
    ask: np.ndarray
    live: list[str]  # states of the job of the script that sleeps, when the client showed its first line

    @property
    def bucket(self) -> str:
        return f"sagemaker-us-east-1-{self.shell.keys.account}"


def own_model(run: Run, rounds: int = ROUNDS) -> xgboost.Booster:
    """The model that the library itself makes of the same table."""
    settings = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.4, "seed": 5}
    return xgboost.train(settings, xgboost.DMatrix(run.train[:, 1:], label=run.train[:, 0]), rounds)


@pytest.fixture(scope="module")
def run(shell: Shell, sdk_python: Path) -> Run:
    """Every test here looks at one run: the SDK itself sleeps for most of two minutes in it."""
    tables = {"train": table(400, 1), "validation": table(150, 2), "ask": table(40, 3)[:, 1:]}
    for name, rows in tables.items():
        np.savetxt(shell.work / f"{name}.csv", rows, delimiter=",", fmt="%.9g")
    arguments = {"data": ".", "source": str(SCRIPTS / "source"), "facts": "facts.json"}
    words = [word for name, value in arguments.items() for word in (f"--{name}", value)]
    command = shell.inside(str(sdk_python), "-u", str(SCRIPTS / "estimators.py"), *words)
    lines: list[str] = []
    live: list[str] = []
    with (shell.work / "errors").open("w") as errors, subprocess.Popen(
        command, env=shell.bare(), cwd=shell.work, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if "training begins" in line and not live:
                live = states(shell)
        assert process.wait(30) == 0, f"{(shell.work / 'errors').read_text()[-5000:]}\n{''.join(lines)[-3000:]}"
    facts = json.loads((shell.work / "facts.json").read_text())
    print("seconds of each flow:", facts["took"])
    return Run(facts, "".join(lines), shell, **tables, live=live)


def states(shell: Shell) -> list[str]:
    """The state of the job with the script that sleeps, if it is there."""
    found = shell.client("sagemaker").list_training_jobs(NameContains="linear")["TrainingJobSummaries"]
    return [job["TrainingJobStatus"] for job in found]


def test_the_default_session_finds_its_account_bucket_and_role(run: Run) -> None:
    facts = run.facts
    assert (facts["account"], facts["bucket"], facts["region"]) == (run.shell.keys.account, run.bucket, "us-east-1")
    assert facts["role"] == run.shell.role
    assert [bucket["Name"] for bucket in run.shell.client("s3").list_buckets()["Buckets"]] == [run.bucket]


def test_fit_trains_the_librarys_own_model(run: Run) -> None:
    assert run.facts["image"] == "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    assert run.facts["model_data"] == f"s3://{run.bucket}/{run.facts['job']}/output/model.tar.gz"
    stored = xgboost.Booster()
    stored.load_model(bytearray(unpacked(run.shell.client("s3"), run.facts["model_data"])["xgboost-model"]))
    np.testing.assert_allclose(
        stored.predict(xgboost.DMatrix(run.ask)), own_model(run).predict(xgboost.DMatrix(run.ask)), atol=1e-6
    )


def test_fit_prints_the_log_of_the_job(run: Run) -> None:
    logs = run.shell.client("logs")
    stream = f"{run.facts['job']}/algo-1"
    found = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=stream)
    messages = [event["message"] for event in found["events"]]
    rounds = [message for message in messages if message.startswith("[11]")]
    assert len(rounds) == 1
    place = run.output.index("Training")
    for message in messages:  # the SDK puts some after a state on the same line
        place = run.output.index(message, place) + len(message)
    assert "Training seconds:" in run.output[place:]


def test_the_metrics_are_those_of_the_model(run: Run) -> None:
    rounds = [logloss(own_model(run, number), run.validation) for number in range(1, ROUNDS + 1)]
    assert run.facts["boosted_metrics"]["validation:logloss"] == pytest.approx(rounds[-1], abs=1e-4)
    assert run.facts["columns"] == ["timestamp", "metric_name", "value"]
    assert run.facts["logloss"], "TrainingJobAnalytics found no points"
    assert all(min(rounds) - 1e-4 <= mean <= max(rounds) + 1e-4 for mean in run.facts["logloss"])  # one mean per minute


def test_an_estimator_attaches_to_the_job(run: Run) -> None:
    model_data, parameters = run.facts["attached"]
    assert model_data == run.facts["model_data"]
    assert (parameters["num_round"], parameters["objective"]) == ("12", "binary:logistic")


def test_a_scikit_learn_script_trains_the_librarys_own_model(run: Run) -> None:
    own = LogisticRegression(C=0.5).fit(run.train[:, 1:], run.train[:, 0])
    files = unpacked(run.shell.client("s3"), run.facts["linear"])
    stored = joblib.load(io.BytesIO(files["model.joblib"]))
    np.testing.assert_allclose(stored.coef_, own.coef_, atol=1e-6)
    accuracy = own.score(run.validation[:, 1:], run.validation[:, 0])
    assert run.facts["linear_metrics"] == {"accuracy": pytest.approx(accuracy, abs=1e-5)}
    assert f"accuracy={accuracy:.6f};" in run.output.splitlines()


def test_an_xgboost_script_trains_the_librarys_own_model(run: Run) -> None:
    matrix = xgboost.DMatrix(run.train[:, 1:], label=run.train[:, 0])
    own = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "seed": 5}, matrix, 7)
    stored = xgboost.Booster()
    stored.load_model(bytearray(unpacked(run.shell.client("s3"), run.facts["scripted"])["xgboost-model"]))
    ask = xgboost.DMatrix(run.ask)
    np.testing.assert_allclose(stored.predict(ask), own.predict(ask), atol=1e-6)


def test_the_log_is_shown_while_the_script_still_runs(run: Run) -> None:
    assert run.live == ["InProgress"]
    assert states(run.shell) == ["Completed"]


def test_a_script_that_fails_is_told_with_its_own_last_lines(run: Run) -> None:
    assert "Failed. Reason: AlgorithmError" in run.facts["failure"]
    assert "LogisticRegression must be a float in the range" in run.facts["failure"]


def test_the_predictor_answers_with_the_models_probabilities(run: Run) -> None:
    own = own_model(run).predict(xgboost.DMatrix(run.ask))
    assert len(run.facts["predictions"]) == len(run.ask)
    np.testing.assert_allclose(run.facts["predictions"], own, atol=1e-5)
    assert np.std(own) > 0.1


def test_another_deserializer_gets_the_same_scores(run: Run) -> None:
    np.testing.assert_allclose(run.facts["scores"], run.facts["predictions"], atol=1e-6)


def test_update_endpoint_gives_it_a_second_instance_and_the_same_answers(run: Run) -> None:
    assert run.facts["instances"] == [2]
    np.testing.assert_allclose(run.facts["updated"], run.facts["predictions"], atol=1e-6)


def test_the_containers_refusal_reaches_the_script(run: Run) -> None:
    assert "ModelError" in run.facts["refusal"]
    assert "Received client error (4" in run.facts["refusal"]


def test_what_the_script_deletes_is_gone(run: Run) -> None:
    sagemaker = run.shell.client("sagemaker")
    endpoints = sagemaker.list_endpoints()["Endpoints"]
    assert [one["EndpointStatus"] for one in endpoints if one["EndpointName"] == run.facts["endpoint"]] in (
        [],
        ["Deleting"],
    )
    first = run.facts["endpoint"]  # update_endpoint made another one and leaves this, as on AWS
    assert [one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]] == [first]
    assert sagemaker.list_models()["Models"] == []
    assert len(sagemaker.list_training_jobs()["TrainingJobSummaries"]) == 4


def test_the_script_reaches_only_this_machine_and_leaves_home_alone(run: Run) -> None:
    assert run.shell.left_the_machine() == []
    assert list(run.shell.home.rglob("*")) == []


PROGRAM = """
import sys, sagemaker
from sagemaker.estimator import Estimator
estimator = Estimator("image", sys.argv[1], 1, "ml.m5.large", sagemaker_session=sagemaker.Session())
try: estimator.fit("no-address")
except ValueError as error: print(error)
"""


def test_without_the_config_the_sdks_telemetry_lands_here(
    server: RunningServer, sdk_python: Path, tmp_path: Path
) -> None:
    opened = open_shell(server, tmp_path)
    program = f"import os; del os.environ['SAGEMAKER_USER_CONFIG_OVERRIDE']{PROGRAM}"
    done = opened.run_inside(str(sdk_python), "-c", program, opened.role)
    assert "no-address" in done.text, done.errors
    assert opened.left_the_machine() == []
    audit = server.data / "telemetry" / "audit.log"
    wait_until(lambda: "NoSuchBucket" in audit.read_text())


def test_the_sdk_would_phone_home_in_an_environment_without_proxy(
    server: RunningServer, sdk_python: Path, tmp_path: Path
) -> None:
    opened = open_shell(server, tmp_path)
    environment = {**opened.bare(), **opened.variables}
    del environment["SAGEMAKER_USER_CONFIG_OVERRIDE"]
    program = PROGRAM.replace("sagemaker.Session()", "sagemaker.Session(default_bucket='telemetry')")
    done = opened.run_in(environment, str(sdk_python), "-c", program, opened.role)
    assert "no-address" in done.text, done.errors
    assert any("sm-pysdk-t-us-east-1" in line for line in opened.left_the_machine())
