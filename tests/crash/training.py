"""Training jobs that can be held to account: each prints numbered values and leaves a model that names its run."""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import xgboost
from botocore.exceptions import BotoCoreError, ClientError

from tests.conftest import RunningServer
from tests.services.sagemaker import training_jobs

STEPS = 12
ROUNDS = 15
SCRIPT = f"""
import os, sys, time, uuid
run = uuid.uuid4().hex
print("run", run, flush=True)
for step in range({STEPS}):
    print(f"step {{step}} loss={{1 / (step + 1):.6f}};", flush=True)
    time.sleep(float(sys.argv[sys.argv.index("--pause") + 1]))
with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.txt"), "w") as file:
    file.write(run)
print("finished", run, flush=True)
"""
NAMESPACE = "/aws/sagemaker/TrainingJobs"
_STEP = re.compile(r"step (\d+) loss=([0-9.]+);")
_ROUND = re.compile(r"\[(\d+)\]\ttrain-logloss:([0-9.]+)")
KILLED = ("InternalServerError: ",)  # reasons of a job whose shim was killed
DIED = ("InternalServerError: ", "AlgorithmError: ")  # of one whose own process was killed: its script may have done it


@dataclass
class Started:
    """A job that was asked for; `acknowledged` when Create answered."""

    name: str
    script: bool
    acknowledged: bool
    victim: str = ""  # which of its processes was killed: "shim", "payload", or none

    @property
    def metric(self) -> str:
        return "loss" if self.script else "train:logloss"


def start(server: RunningServer, bucket: str, name: str, *, script: bool, pause: float = 0.1) -> Started:
    """Ask for a job; the answer may not come."""
    changes: dict[str, Any] = {"HyperParameters": {"num_round": str(ROUNDS), "objective": "binary:logistic"}}
    if script:
        metrics = [{"Name": "loss", "Regex": "loss=([0-9.]+);"}]
        changes = {
            "AlgorithmSpecification": {
                "TrainingImage": training_jobs.SKLEARN, "TrainingInputMode": "File", "MetricDefinitions": metrics
            },
            "HyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": f"s3://{bucket}/code/sourcedir.tar.gz",
                "pause": str(pause),
            },
        }  # fmt: skip
    request = training_jobs.request(name, server.keys.account, bucket, **changes)
    try:
        server.client("sagemaker").create_training_job(**request)
    except BotoCoreError:  # the gateway died: the job may be there or not
        return Started(name, script, acknowledged=False)
    return Started(name, script, acknowledged=True)


def ended(server: RunningServer, job: Started, seconds: float) -> dict[str, Any] | None:
    """The final description of a job; None when it was never acknowledged and is not there. Fails after `seconds`."""
    sagemaker = server.client("sagemaker")
    try:
        return training_jobs.wait(sagemaker, job.name, seconds)
    except ClientError as error:
        if job.acknowledged or "not found" not in str(error):
            raise
        return None


def check(server: RunningServer, bucket: str, job: Started, found: dict[str, Any]) -> None:
    """State, reason, artefacts, log and metrics of an ended job agree with each other and with what was done to it."""
    messages = training_jobs.log(server.client("logs"), job.name)
    values = _printed(messages, job)
    status, reason = found["TrainingJobStatus"], found.get("FailureReason", "")
    if status == "Completed":
        assert not reason
        _check_model(server, job, found, messages)
        assert len(values) == (STEPS if job.script else ROUNDS), messages
    else:
        assert status == "Failed", f"{job.name} is {status}"
        assert job.victim, f"{job.name} was left alone and failed: {reason} {messages[-5:]}"
        assert reason.startswith(KILLED if job.victim == "shim" else DIED), reason
        assert "Kenja failed" not in reason, reason
    final = {entry["MetricName"]: entry["Value"] for entry in found.get("FinalMetricDataList", [])}
    counted = _counted(server, job)
    if job.victim == "shim":  # it writes the log first: the last lines before its death may have told no metric
        assert counted <= len(values) <= counted + STEPS + ROUNDS
        values = values[:counted]
    assert counted == len(values), f"{job.name}: CloudWatch counts {counted} values, the log has {len(values)}"
    assert final == ({job.metric: values[-1]} if values else {}), (final, values)
    _check_history(found)


def _check_history(found: dict[str, Any]) -> None:
    """One state after another without a gap; a launch that a crash cut short is made again, a final state is the last."""
    entries = found["SecondaryStatusTransitions"]
    states = [entry["Status"] for entry in entries]
    assert states[0] == "Starting", states
    assert states[-1] == found["SecondaryStatus"] == found["TrainingJobStatus"], states
    assert not set(states[:-1]) & set(training_jobs.FINAL), states
    assert states.count("Uploading") <= 1, states
    for entry, after in itertools.pairwise(entries):
        assert entry["StartTime"] <= entry["EndTime"] == after["StartTime"], entries


def _printed(messages: list[str], job: Started) -> list[float]:
    """The values of the log, each of which is there once and in order."""
    pattern = _STEP if job.script else _ROUND
    matches = [match for message in messages if (match := pattern.match(message))]
    numbers = [int(match[1]) for match in matches]
    assert numbers == list(range(len(numbers))), f"{job.name} logged {messages}"
    return [float(match[2]) for match in matches]


def _check_model(server: RunningServer, job: Started, found: dict[str, Any], messages: list[str]) -> None:
    files = training_jobs.unpacked(server.client("s3"), found["ModelArtifacts"]["S3ModelArtifacts"])
    if job.script:
        run = files["model.txt"].decode()
        assert [line for line in messages if line.startswith("run ")] == [f"run {run}"], messages
        assert [line for line in messages if line.startswith("finished ")] == [f"finished {run}"], messages
        return
    booster = xgboost.Booster()
    booster.load_model(bytearray(files["xgboost-model"]))
    assert booster.num_boosted_rounds() == ROUNDS


def _counted(server: RunningServer, job: Started) -> int:
    """How many values of the job's metric CloudWatch has."""
    now = datetime.fromtimestamp(time.time(), UTC)
    points = server.client("cloudwatch").get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=job.metric,
        Dimensions=[{"Name": "TrainingJobName", "Value": job.name}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=5),
        Period=60,
        Statistics=["SampleCount"],
    )["Datapoints"]
    return int(sum(point["SampleCount"] for point in points))
