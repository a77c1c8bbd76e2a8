"""Unmodified scripts of the sagemaker SDK v3, by an interpreter of its own: what they see is what the libraries themselves give.

One runs inside `kenja run` with no bucket and no role given, the other after `kenja env`.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sdk_env
import xgboost
from sklearn.linear_model import LogisticRegression

from tests.conftest import RunningServer
from tests.sdk import truth
from tests.sdk.shell import SCRIPTS, Done, Shell, open_shell
from tests.services.sagemaker.training_jobs import unpacked

pytestmark = [pytest.mark.sdk, pytest.mark.slow, pytest.mark.timeout(420)]
BUCKET = "sdk-v3-tables"
WHEEL = "greeting-1.0-py3-none-any.whl"
GREETING = "hello from a wheel"


@dataclass(frozen=True)
class Run:
    """One script's run: what it noted and what it printed."""

    facts: dict[str, Any]
    output: str
    shell: Shell
    train: np.ndarray
    validation: np.ndarray
    ask: np.ndarray


@pytest.fixture(scope="session")
def python(pytestconfig: pytest.Config) -> Path:
    """The interpreter with sagemaker 3; it is built when it is not there, and the time is shown."""
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        return sdk_env.environment("sdk-v3")


@pytest.fixture(scope="module")
def runs(server: RunningServer, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """Both scripts at once, each in an account of its own: the SDK sleeps for most of their time."""
    folder = tmp_path_factory.mktemp("v3")
    tables = {"train": truth.table(400, 1), "validation": truth.table(150, 2), "ask": truth.table(40, 3)[:, 1:]}
    shells, commands = {}, {}
    for name in ("trainers_v3", "resources_v3"):
        (folder / name).mkdir()
        shells[name] = open_shell(server, folder / name)
        truth.write(shells[name].work, **tables)
        commands[name] = [str(python), str(SCRIPTS / f"{name}.py"), "--data", ".", "--facts", "facts.json"]
    trained, resources = shells.values()
    write_source(trained.work / "source")
    commands["trainers_v3"] += ["--source", "source", "--handlers", str(SCRIPTS / "handlers")]
    resources.client("s3").create_bucket(Bucket=BUCKET)
    commands["resources_v3"] += ["--role", resources.role, "--bucket", BUCKET]
    ways = {"trainers_v3": trained.run_inside, "resources_v3": resources.run}  # `kenja run`, and `kenja env`
    with ThreadPoolExecutor() as pool:
        ended = {name: pool.submit(ways[name], *command) for name, command in commands.items()}
        found = {name: noted(shells[name], future.result(), tables) for name, future in ended.items()}
    yield found
    assert [shell.left_the_machine() for shell in shells.values()] == [[], []]


def noted(shell: Shell, done: Done, tables: dict[str, np.ndarray]) -> Run:
    assert done.status == 0, f"{done.errors[-5000:]}\n{done.text[-3000:]}"
    return Run(json.loads((shell.work / "facts.json").read_text()), done.text, shell, **tables)


def write_source(folder: Path) -> None:
    """The script, and a requirements.txt that pip can meet without a network."""
    folder.mkdir()
    (folder / "train.py").write_text((SCRIPTS / "source_v3" / "train.py").read_text())
    (folder / "requirements.txt").write_text(f"--no-index\nscikit-learn\n./{WHEEL}\n")
    about = "greeting-1.0.dist-info"
    files = {
        "greeting.py": f"WORDS = {GREETING!r}\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        for name, text in {**files, f"{about}/RECORD": record}.items():
            wheel.writestr(name, text)


@pytest.fixture
def trained(runs: dict[str, Run]) -> Run:
    return runs["trainers_v3"]


@pytest.fixture
def resources(runs: dict[str, Run]) -> Run:
    return runs["resources_v3"]


def stored_booster(run: Run, uri: str) -> xgboost.Booster:
    stored = xgboost.Booster()
    stored.load_model(bytearray(unpacked(run.shell.client("s3"), uri)["xgboost-model"]))
    return stored


def messages_of(run: Run, job: str) -> list[str]:
    found = run.shell.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{job}/"
    )
    return [event["message"] for event in found["events"]]


def own_line(run: Run) -> LogisticRegression:
    return LogisticRegression(C=0.5).fit(run.train[:, 1:], run.train[:, 0])


def test_the_default_session_finds_its_bucket_and_region(trained: Run) -> None:
    bucket = f"sagemaker-us-east-1-{trained.shell.keys.account}"
    assert (trained.facts["bucket"], trained.facts["region"]) == (bucket, "us-east-1")
    assert [one["Name"] for one in trained.shell.client("s3").list_buckets()["Buckets"]] == [bucket]


def test_the_callers_own_role_is_taken_where_none_is_given(trained: Run) -> None:
    assert trained.facts["role"] == trained.shell.role


def test_the_callers_role_is_fit_for_every_kind_of_work(resources: Run) -> None:
    assert resources.facts["roles"] == [resources.shell.role] * 6


def test_a_built_in_image_trains_the_librarys_own_model(trained: Run) -> None:
    assert trained.facts["image"] == "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    stored = stored_booster(trained, trained.facts["model_data"])
    own = truth.scores(truth.boosted(trained.train), trained.ask)
    np.testing.assert_allclose(truth.scores(stored, trained.ask), own, atol=1e-6)


def test_the_metrics_are_those_of_the_model(trained: Run) -> None:
    own = truth.logloss(truth.boosted(trained.train), trained.validation)
    assert trained.facts["metrics"]["validation:logloss"] == pytest.approx(own, abs=1e-4)


def test_train_prints_the_log_of_the_job(trained: Run) -> None:
    messages = messages_of(trained, trained.facts["job"])
    assert any(message.startswith("[11]") for message in messages)
    place = 0
    for message in messages:
        place = trained.output.index(message, place) + len(message)


def test_a_script_is_run_by_the_sdks_own_driver(trained: Run) -> None:
    stored = joblib.load(io.BytesIO(unpacked(trained.shell.client("s3"), trained.facts["linear"])["model.joblib"]))
    np.testing.assert_allclose(stored.coef_, own_line(trained).coef_, atol=1e-6)
    accuracy = own_line(trained).score(trained.validation[:, 1:], trained.validation[:, 0])
    assert trained.facts["linear_metrics"] == {"accuracy": pytest.approx(accuracy, abs=1e-5)}
    assert "Running Basic Script driver" in trained.output
    assert "Training Container Execution Completed" in trained.output


def test_the_script_sees_its_requirements_and_its_settings(trained: Run) -> None:
    told = json.loads(unpacked(trained.shell.client("s3"), trained.facts["output_data"])["facts.json"])
    job = trained.facts["linear"].split("/")[-3]
    assert told == {
        "greeting": GREETING,
        "notes": {"a": [1, 2]},
        "hyperparameters": {"strength": 0.5, "notes": {"a": [1, 2]}},
        "host": ["algo-1", "ml.m5.large"],
        "channels": ["train", "validation", "code", "sm_drivers"],
        "colour": "blue",
        "job": job,
        "folder": "/opt/ml/input/data/code",
    }


def test_a_command_that_fails_is_told_and_its_log_says_why(trained: Run) -> None:
    job = trained.facts["broken"]
    assert "AlgorithmError" in trained.facts["failure"]
    assert f"TrainingJob - {job}" in trained.facts["failure"]  # what the SDK's own sm_train.sh leaves as the reason
    assert any("No module named 'nothing'" in message for message in messages_of(trained, job))


def test_the_endpoint_answers_with_the_models_probabilities(trained: Run) -> None:
    own = truth.scores(truth.boosted(trained.train), trained.ask)
    np.testing.assert_allclose(trained.facts["predictions"], own, atol=1e-5)
    assert np.std(own) > 0.1


def test_handlers_of_ones_own_answer_for_the_model(trained: Run) -> None:
    own = own_line(trained).predict_proba(trained.ask)[:, 1]
    np.testing.assert_allclose(trained.facts["handled"]["scores"], own, atol=1e-6)
    assert trained.facts["handled_type"] == "application/json"
    assert trained.facts["environment"]["SAGEMAKER_PROGRAM"] == "inference.py"


def test_what_the_script_deletes_is_gone(trained: Run) -> None:
    sagemaker = trained.shell.client("sagemaker")
    assert {one["EndpointStatus"] for one in sagemaker.list_endpoints()["Endpoints"]} <= {"Deleting"}
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    assert sagemaker.list_models()["Models"] == []


def test_training_jobs_are_made_listed_stopped_and_deleted(resources: Run) -> None:
    facts = resources.facts
    assert facts["statuses"] == {"good": "Completed", "other": "Completed", "stopped": "Stopped", "wrong": "Failed"}
    assert facts["by_name"] == ["wrong", "stopped", "other", "good"]
    assert "num_round" in facts["failure"]
    assert "ResourceInUse" in facts["twice"]
    assert "Requested resource not found" in facts["after_delete"]


def test_a_training_job_is_read_as_it_was_made(resources: Run) -> None:
    own = truth.boosted(resources.train)
    stored = stored_booster(resources, resources.facts["artifact"])
    np.testing.assert_allclose(truth.scores(stored, resources.ask), truth.scores(own, resources.ask), atol=1e-6)
    assert resources.facts["parameters"]["max_depth"] == "3"
    assert resources.facts["seconds"] >= 1
    assert resources.facts["metrics"] == {"train:logloss": pytest.approx(truth.logloss(own, resources.train), abs=1e-4)}
    tags = resources.shell.client("sagemaker").list_tags(
        ResourceArn=f"arn:aws:sagemaker:us-east-1:{resources.shell.keys.account}:training-job/good"
    )["Tags"]
    assert tags == [{"Key": "team", "Value": "blue"}]


def test_models_and_endpoints_are_made_asked_updated_and_deleted(resources: Run) -> None:
    facts = resources.facts
    own = truth.scores(truth.boosted(resources.train), resources.ask)
    np.testing.assert_allclose(facts["predictions"], own, atol=1e-5)
    assert facts["content_type"].startswith("text/csv")
    assert facts["variant"] == "main"
    assert "ModelError" in facts["refusal"]
    assert (facts["models"], facts["configs"], facts["endpoints"]) == (["good"], ["first", "second"], ["served"])
    assert facts["container"] == facts["artifact"]
    assert facts["updated"] == ["second", 2.0]
    assert facts["left"] == [0, 0, 0]


def test_what_is_not_served_is_refused_with_a_sentence(resources: Run) -> None:
    assert "(UnsupportedOperationException)" in resources.facts["unserved"]
    assert "ListPipelines" in resources.facts["unserved"]


def test_the_scripts_leave_home_alone(runs: dict[str, Run]) -> None:
    assert [list(run.shell.home.rglob("*")) for run in runs.values()] == [[], []]


PROGRAM = """
import sys, time
from sagemaker.core.helper.session_helper import Session
from sagemaker.train import ModelTrainer
session = Session(default_bucket="telemetry-of-the-sdk")
trainer = ModelTrainer(training_image="image", role=sys.argv[1], sagemaker_session=session)
try: trainer.train()
except Exception as error: print(type(error).__name__)
time.sleep(3)  # its telemetry is sent by a thread
"""


def test_the_sdk_would_phone_home_without_the_config_of_kenja_env(
    server: RunningServer, python: Path, tmp_path: Path
) -> None:
    opened = open_shell(server, tmp_path)
    environment = {**opened.bare(), **opened.variables}
    del environment["SAGEMAKER_USER_CONFIG_OVERRIDE"]
    done = opened.run_in(environment, str(python), "-c", PROGRAM, opened.role)
    assert "ClientError" in done.text, done.errors
    assert any("sm-pysdk-t-us-east-1" in line for line in opened.left_the_machine())
