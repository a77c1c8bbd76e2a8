"""The AWS CLI against STS, IAM, SageMaker, Logs and CloudWatch: a job trained, watched, deployed and asked from a shell."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import xgboost

from tests.conftest import wait_until
from tests.sdk.shell import Shell
from tests.services.sagemaker import training_jobs

pytestmark = pytest.mark.sdk
BUCKET = "cli-tables"
ROUNDS = 6
ENDPOINT = "from-the-shell"


@dataclass(frozen=True)
class Jobs:
    """One job that completed and one that failed."""

    shell: Shell
    good: dict[str, Any]
    bad: dict[str, Any]


@pytest.fixture(scope="module")
def jobs(shell: Shell) -> Jobs:
    """Made by the CLI, waited for by boto3: the CLI's waiter looks only every two minutes."""
    shell.client("s3").create_bucket(Bucket=BUCKET)
    shell.client("s3").put_object(Bucket=BUCKET, Key="train/train.csv", Body=training_jobs.table())
    parameters = {"good": {"num_round": str(ROUNDS), "objective": "binary:logistic"}, "bad": {"num_rounds": "1"}}
    for name, given in parameters.items():
        request = training_jobs.request(name, shell.keys.account, BUCKET, HyperParameters=given)
        (shell.work / f"{name}.json").write_text(json.dumps(request))
        made = shell.aws("sagemaker", "create-training-job", "--cli-input-json", f"file://{name}.json").json
        assert made["TrainingJobArn"].endswith(f":{shell.keys.account}:training-job/{name}")
    sagemaker = shell.client("sagemaker")
    return Jobs(shell, training_jobs.wait(sagemaker, "good"), training_jobs.wait(sagemaker, "bad"))


@pytest.fixture(scope="module")
def endpoint(jobs: Jobs) -> str:
    """The trained model in service, deployed by the CLI."""
    shell = jobs.shell
    container = f"Image={training_jobs.XGBOOST},ModelDataUrl={jobs.good['ModelArtifacts']['S3ModelArtifacts']}"
    variant = f"VariantName=AllTraffic,ModelName={ENDPOINT},InstanceType=ml.m5.large,InitialInstanceCount=1"
    name = ["--endpoint-config-name", ENDPOINT]
    shell.aws(
        "sagemaker",
        "create-model",
        "--model-name",
        ENDPOINT,
        "--execution-role-arn",
        shell.role,
        "--primary-container",
        container,
    )
    shell.aws("sagemaker", "create-endpoint-config", *name, "--production-variants", variant)
    shell.aws("sagemaker", "create-endpoint", "--endpoint-name", ENDPOINT, *name)
    sagemaker = shell.client("sagemaker")
    wait_until(lambda: sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointStatus"] != "Creating", 60)
    shell.aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", ENDPOINT)
    return ENDPOINT


def test_get_caller_identity_tells_the_role_of_kenja_env(shell: Shell) -> None:
    told = shell.aws("sts", "get-caller-identity").json
    assert told["Account"] == shell.keys.account
    assert told["Arn"].startswith(f"arn:aws:sts::{shell.keys.account}:assumed-role/KenjaExecutionRole/")


def test_roles_are_made_and_listed(shell: Shell) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    shell.aws("iam", "create-role", "--role-name", "FromCli", "--assume-role-policy-document", json.dumps(trust))
    roles = {role["RoleName"]: role for role in shell.aws("iam", "list-roles").json["Roles"]}
    assert set(roles) == {"FromCli", "KenjaExecutionRole"}
    assert roles["FromCli"]["AssumeRolePolicyDocument"] == trust
    assert roles["KenjaExecutionRole"]["Arn"] == shell.role


def test_training_jobs_are_listed_page_by_page(jobs: Jobs) -> None:
    query = "TrainingJobSummaries[].[TrainingJobName,TrainingJobStatus]"
    listed = jobs.shell.aws(
        "sagemaker", "list-training-jobs", "--page-size", "1", "--sort-by", "Name", "--query", query, "--output", "text"
    )
    assert listed.text.split() == ["bad", "Failed", "good", "Completed"]
    one = jobs.shell.aws("sagemaker", "list-training-jobs", "--max-items", "1", "--status-equals", "Failed").json
    assert [job["TrainingJobName"] for job in one["TrainingJobSummaries"]] == ["bad"]


def test_describe_training_job_tells_the_artifact(jobs: Jobs) -> None:
    told = jobs.shell.aws("sagemaker", "describe-training-job", "--training-job-name", "good").json
    assert told["TrainingJobStatus"] == "Completed"
    assert told["HyperParameters"]["num_round"] == str(ROUNDS)
    assert told["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/output/good/output/model.tar.gz"


def test_the_waiter_tells_success_and_failure_by_its_exit_status(jobs: Jobs) -> None:
    waiter = ["sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name"]
    started = time.monotonic()
    jobs.shell.aws(*waiter, "good")
    status, told = jobs.shell.refused(*waiter, "bad")
    assert status == 255
    assert "terminal failure state" in told
    assert time.monotonic() - started < 60  # neither slept until a second look


def test_the_failed_job_tells_its_reason(jobs: Jobs) -> None:
    query = ["--query", "FailureReason", "--output", "text"]
    assert (
        "num_rounds" in jobs.shell.aws("sagemaker", "describe-training-job", "--training-job-name", "bad", *query).text
    )


def test_filter_log_events_shows_the_jobs_log(jobs: Jobs) -> None:
    group = ["--log-group-name", "/aws/sagemaker/TrainingJobs", "--log-stream-name-prefix", "good/"]
    query = ["--filter-pattern", "logloss", "--query", "events[].message", "--output", "json"]
    said = jobs.shell.aws("logs", "filter-log-events", *group, *query).json
    assert [line.partition("]")[0] for line in said if line.startswith("[")] == [
        f"[{number}" for number in range(ROUNDS)
    ]
    streams = jobs.shell.aws("logs", "describe-log-streams", *group).json["logStreams"]
    assert len(streams) == 1


def test_get_log_events_pages_through_the_jobs_log(jobs: Jobs) -> None:
    shell, group = jobs.shell, ["--log-group-name", "/aws/sagemaker/TrainingJobs"]
    query = ["--query", "logStreams[0].logStreamName", "--output", "text"]
    stream = shell.aws("logs", "describe-log-streams", *group, "--log-stream-name-prefix", "good/", *query).text.strip()
    read = ["logs", "get-log-events", *group, "--log-stream-name", stream, "--start-from-head"]
    whole = [event["message"] for event in shell.aws(*read).json["events"]]
    found: list[str] = []
    token: list[str] = []
    while True:
        page = shell.aws(*read, "--limit", "3", *token).json
        if not page["events"]:
            break
        found += [event["message"] for event in page["events"]]
        token = ["--next-token", page["nextForwardToken"]]
    assert found == whole
    assert [line for line in whole if line.startswith(f"[{ROUNDS - 1}]")]


def test_the_jobs_metric_is_the_one_that_its_log_tells(jobs: Jobs) -> None:
    shell = jobs.shell
    final = {metric["MetricName"]: metric["Value"] for metric in jobs.good["FinalMetricDataList"]}
    name = ["--namespace", "/aws/sagemaker/TrainingJobs", "--metric-name", "train:logloss"]
    dimension = ["--dimensions", "Name=TrainingJobName,Value=good"]
    window = ["--start-time", "2026-01-01T00:00:00Z", "--end-time", "2100-01-01T00:00:00Z", "--period", "2592000"]
    points = shell.aws(
        "cloudwatch", "get-metric-statistics", *name, *dimension, *window, "--statistics", "Minimum", "SampleCount"
    ).json["Datapoints"]  # fmt: skip
    assert sum(point["SampleCount"] for point in points) == ROUNDS
    assert min(point["Minimum"] for point in points) == pytest.approx(final["train:logloss"], abs=1e-6)


def test_metrics_of_the_job_are_listed_and_read(jobs: Jobs) -> None:
    shell, name = jobs.shell, ["--namespace", "/aws/sagemaker/TrainingJobs", "--metric-name", "train:logloss"]
    listed = shell.aws("cloudwatch", "list-metrics", *name).json["Metrics"]
    assert [metric["Dimensions"] for metric in listed] == [[{"Name": "TrainingJobName", "Value": "good"}]]
    shell.aws(
        "cloudwatch", "put-metric-data", "--namespace", "Own", "--metric-data", "MetricName=size,Value=7,Unit=Count"
    )  # fmt: skip
    window = ["--start-time", "2026-01-01T00:00:00Z", "--end-time", "2100-01-01T00:00:00Z", "--period", "2592000"]
    points = shell.aws(
        "cloudwatch",
        "get-metric-statistics",
        "--namespace",
        "Own",
        "--metric-name",
        "size",
        *window,
        "--statistics",
        "Sum",
    ).json
    assert sum(point["Sum"] for point in points["Datapoints"]) == 7


def test_invoke_endpoint_answers_with_the_models_probabilities(jobs: Jobs, endpoint: str) -> None:
    shell = jobs.shell
    ask = np.random.default_rng(8).normal(size=(9, 4)).round(5)
    np.savetxt(shell.work / "ask.csv", ask, delimiter=",", fmt="%.9g")
    name = ["--endpoint-name", endpoint, "--content-type", "text/csv"]
    told = shell.aws("sagemaker-runtime", "invoke-endpoint", *name, "--body", "fileb://ask.csv", "answer.csv").json
    assert told["InvokedProductionVariant"] == "AllTraffic"
    answer = [float(word) for word in (shell.work / "answer.csv").read_text().replace(",", "\n").split()]
    stored = xgboost.Booster()
    files = training_jobs.unpacked(shell.client("s3"), jobs.good["ModelArtifacts"]["S3ModelArtifacts"])
    stored.load_model(bytearray(files["xgboost-model"]))
    np.testing.assert_allclose(answer, stored.predict(xgboost.DMatrix(ask)), atol=1e-5)
    (shell.work / "wrong.csv").write_text("1,2\n")
    status, errors = shell.refused(
        "sagemaker-runtime", "invoke-endpoint", *name, "--body", "fileb://wrong.csv", "none.csv"
    )
    assert (status, "(ModelError)" in errors) == (255, True)
    assert not (shell.work / "none.csv").exists()
    shell.aws("sagemaker", "delete-endpoint", "--endpoint-name", endpoint)
    shell.aws("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", endpoint)
    shell.refused("sagemaker", "describe-endpoint", "--endpoint-name", endpoint)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (
            "sagemaker describe-training-job --training-job-name none",
            255,
            "(ValidationException) when calling the DescribeTrainingJob",
        ),
        (
            "sagemaker describe-training-job --training-job-name no_ne",
            255,
            "Member must satisfy regular expression pattern",
        ),
        ("sagemaker describe-training-job", 2, "--training-job-name"),
        ("sagemaker list-notebook-instances", 255, "(UnsupportedOperationException)"),
        ("iam get-role --role-name Nobody", 255, "(NoSuchEntity)"),
        ("logs filter-log-events --log-group-name /none", 255, "(ResourceNotFoundException)"),
        ("sagemaker-runtime invoke-endpoint --endpoint-name none --body x out", 255, "(ValidationError)"),
    ],
)
def test_errors_end_with_the_clis_exit_status(shell: Shell, arguments: str, status: int, told: str) -> None:
    ended, errors = shell.refused(*arguments.split())
    assert told in errors
    assert ended == status


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "(SignatureDoesNotMatch)"),
        ({"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN0000000000", "AWS_SESSION_TOKEN": ""}, "(InvalidClientTokenId)"),
        ({"AWS_SESSION_TOKEN": "wrong"}, "(InvalidClientTokenId)"),
    ],
)
def test_wrong_keys_are_refused(shell: Shell, changes: dict[str, str], told: str) -> None:
    status, errors = shell.refused("sts", "get-caller-identity", **changes)
    assert told in errors
    assert status == 255
