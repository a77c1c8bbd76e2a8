"""Training jobs of built-in XGBoost over boto3: the model is the library's, the states are AWS's, bad input is refused."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
import xgboost
from botocore.exceptions import ClientError

from tests.conftest import wait_until
from tests.services.sagemaker import training_jobs
from tests.services.sagemaker.conftest import World

NETWORK = "EnableNetworkIsolation"


def model(world: World, job: dict[str, Any]) -> xgboost.Booster:
    """The trained booster of a completed job."""
    files = training_jobs.unpacked(world.s3, job["ModelArtifacts"]["S3ModelArtifacts"])
    booster = xgboost.Booster()
    booster.load_model(bytearray(files["xgboost-model"]))
    return booster


def matrix(text: bytes) -> xgboost.DMatrix:
    values = np.loadtxt(text.decode().splitlines(), delimiter=",", ndmin=2)
    return xgboost.DMatrix(values[:, 1:], label=values[:, 0])


def test_create_training_job_trains_the_librarys_own_model(world: World) -> None:
    parameters = {"num_round": "8", "objective": "binary:logistic", "max_depth": "3", "eta": "0.5", "seed": "3"}
    job = world.run("same-model", HyperParameters=parameters)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    own = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 3, "eta": 0.5, "seed": 3}, matrix(training_jobs.table()), 8
    )
    fresh = matrix(training_jobs.table(50, seed=9))
    np.testing.assert_allclose(model(world, job).predict(fresh), own.predict(fresh), atol=1e-6)


def test_another_input_gives_another_model(world: World) -> None:
    first = world.run("input-1")
    world.put("train/train.csv", training_jobs.table(seed=5))
    second = world.run("input-2")
    fresh = matrix(training_jobs.table(50, seed=9))
    assert np.abs(model(world, first).predict(fresh) - model(world, second).predict(fresh)).max() > 0.01


def test_states_times_metrics_and_artifact_are_described(world: World) -> None:
    world.put("validation/part-1.csv", training_jobs.table(60, seed=1))
    channels = [
        training_jobs.channel("train", f"s3://{world.bucket}/train/train.csv"),
        training_jobs.channel("validation", f"s3://{world.bucket}/validation"),
    ]
    job = world.run("described", InputDataConfig=channels, Tags=[{"Key": "team", "Value": "a"}])
    assert [entry["Status"] for entry in job["SecondaryStatusTransitions"]] == [
        "Starting", "Downloading", "Training", "Uploading", "Completed",
    ]  # fmt: skip
    ends = [entry["EndTime"] for entry in job["SecondaryStatusTransitions"]]
    assert ends == sorted(ends)
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]
    assert job["TrainingTimeInSeconds"] >= 1
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{world.bucket}/output/described/output/model.tar.gz"
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert set(metrics) == {"train:logloss", "validation:logloss"}
    said = [line for line in world.log("described") if line.startswith("[4]")]
    assert said[0].endswith(f"validation-logloss:{metrics['validation:logloss']:.5f}")
    assert world.sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "a"}]
    points = world.client("cloudwatch").get_metric_statistics(
        Namespace="/aws/sagemaker/TrainingJobs", MetricName="validation:logloss", Period=3600, Statistics=["SampleCount", "Minimum"],
        Dimensions=[{"Name": "TrainingJobName", "Value": "described"}],
        StartTime=job["CreationTime"] - datetime.timedelta(hours=1), EndTime=job["TrainingEndTime"] + datetime.timedelta(hours=1),
    )["Datapoints"]  # fmt: skip
    assert sum(point["SampleCount"] for point in points) == 5
    assert min(point["Minimum"] for point in points) == pytest.approx(metrics["validation:logloss"], rel=1e-3)


def test_describe_training_job_of_a_missing_one(world: World) -> None:
    with pytest.raises(ClientError) as caught:
        world.sagemaker.describe_training_job(TrainingJobName="never-made")
    assert caught.value.response["Error"] == {"Code": "ValidationException", "Message": "Requested resource not found."}


def test_a_name_is_used_once(world: World) -> None:
    world.start("once")
    with pytest.raises(world.sagemaker.exceptions.ResourceInUse, match="must be unique"):
        world.start("once")
    assert training_jobs.wait(world.sagemaker, "once")["TrainingJobStatus"] == "Completed"


def test_the_waiter_of_boto3_ends(world: World) -> None:
    world.start("waited")
    world.sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="waited", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


def test_list_training_jobs_filters_sorts_and_pages(world: World) -> None:
    for number in range(5):
        world.start(f"listed-{number}", HyperParameters={"wrong": "1"})
    for number in range(5):
        training_jobs.wait(world.sagemaker, f"listed-{number}")
    pages = list(
        world.sagemaker.get_paginator("list_training_jobs").paginate(
            NameContains="LISTED", SortBy="Name", SortOrder="Descending", PaginationConfig={"PageSize": 2}
        )
    )
    assert [len(page["TrainingJobSummaries"]) for page in pages] == [2, 2, 1]
    names = [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]
    assert names == [f"listed-{number}" for number in (4, 3, 2, 1, 0)]
    assert len(world.sagemaker.list_training_jobs(StatusEquals="Failed")["TrainingJobSummaries"]) == 5
    assert world.sagemaker.list_training_jobs(StatusEquals="Completed")["TrainingJobSummaries"] == []
    token = world.sagemaker.list_training_jobs(MaxResults=2)["NextToken"]
    for wrong in ({"NextToken": "nonsense"}, {"NextToken": token, "NameContains": "other"}):
        with pytest.raises(ClientError, match="NextToken"):
            world.sagemaker.list_training_jobs(**wrong)


def test_list_training_jobs_filters_by_times_and_shows_what_aws_shows(world: World) -> None:
    first = world.run("early", HyperParameters={"wrong": "1"})
    second = world.run("late")
    middle = second["CreationTime"]
    listed: Any = lambda **given: [  # noqa: E731
        job["TrainingJobName"] for job in world.sagemaker.list_training_jobs(**given)["TrainingJobSummaries"]
    ]
    before, after = middle - datetime.timedelta(milliseconds=1), middle + datetime.timedelta(days=1)
    assert listed(CreationTimeAfter=before) == ["late"]
    assert listed(CreationTimeBefore=before) == ["early"]
    assert listed(LastModifiedTimeAfter=first["LastModifiedTime"] + datetime.timedelta(milliseconds=1)) == ["late"]
    assert listed(CreationTimeAfter=after) == listed(StatusEquals="Stopped") == []
    assert listed(SortBy="Status", SortOrder="Ascending") == ["late", "early"]
    assert listed(SortBy="CreationTime", SortOrder="Ascending") == ["early", "late"]
    (summary,) = world.sagemaker.list_training_jobs(StatusEquals="Completed")["TrainingJobSummaries"]
    assert summary["TrainingEndTime"] == second["TrainingEndTime"]
    assert (summary["SecondaryStatus"], summary["TrainingJobArn"]) == ("Completed", second["TrainingJobArn"])
    assert second["BillableTimeInSeconds"] == second["TrainingTimeInSeconds"] >= 1


def test_delete_training_job_removes_an_ended_one(world: World) -> None:
    world.run("deleted", HyperParameters={"wrong": "1"})
    world.sagemaker.delete_training_job(TrainingJobName="deleted")
    with pytest.raises(ClientError, match="not found"):
        world.sagemaker.describe_training_job(TrainingJobName="deleted")


def test_accounts_do_not_see_each_other(world: World, server: Any) -> None:
    world.run("mine", HyperParameters={"wrong": "1"})
    other = server.client("sagemaker", server.new_account())
    assert other.list_training_jobs()["TrainingJobSummaries"] == []
    abroad = world.client("sagemaker")
    assert len(abroad.list_training_jobs()["TrainingJobSummaries"]) == 1


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"objective": "binary:logistic"}, "num_round"),
        ({"num_round": "5", "max_deph": "3"}, "max_deph"),
        ({"num_round": "5", "max_depth": "three"}, "max_depth"),
        ({"num_round": "5", "eta": "7"}, "eta"),
        ({"num_round": "5", "_kfold": "1"}, "_kfold"),
        ({"num_round": "5", "eta": "0.1", "learning_rate": "0.2"}, "learning_rate"),
    ],
)
def test_a_wrong_hyper_parameter_is_named(world: World, parameters: dict[str, str], told: str) -> None:
    job = world.run("refused", HyperParameters=parameters)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError")
    assert told in job["FailureReason"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"1,2,3\n0,4\n", "train.csv"),
        (b"label,a,b\n1,2,3\n", "train.csv"),
        (b"", "train.csv"),
        (b"\x00\xff\x00,1\n", "train.csv"),
    ],
)
def test_broken_csv_fails_with_the_name_of_the_file(world: World, body: bytes, told: str) -> None:
    world.put("train/train.csv", body)
    job = world.run("broken")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError")
    assert told in job["FailureReason"]


def test_an_empty_channel_and_a_missing_bucket_fail_the_job(world: World) -> None:
    empty = world.run("empty", InputDataConfig=[training_jobs.channel("train", f"s3://{world.bucket}/nothing/")])
    assert "no S3 objects were found" in empty["FailureReason"]
    absent = world.run("absent", InputDataConfig=[training_jobs.channel("train", "s3://there-is-no-such-bucket/x")])
    assert "NoSuchBucket" in absent["FailureReason"]
    nowhere = world.run("nowhere", OutputDataConfig={"S3OutputPath": "s3://there-is-no-such-bucket/x"})
    assert nowhere["TrainingJobStatus"] == "Failed"
    assert "NoSuchBucket" in nowhere["FailureReason"]


def test_another_accounts_bucket_can_not_be_read(world: World, server: Any) -> None:
    other = server.client("s3", server.new_account())
    other.create_bucket(Bucket=f"{world.bucket}-other")
    other.put_object(Bucket=f"{world.bucket}-other", Key="train/x.csv", Body=training_jobs.table())
    job = world.run("spy", InputDataConfig=[training_jobs.channel("train", f"s3://{world.bucket}-other/train/")])
    assert job["TrainingJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"TrainingJobName": "under_score"}, "trainingJobName"),
    ({"TrainingJobName": "x" * 64}, "trainingJobName"),
    ({"RoleArn": "arn:aws:iam::123456789012:role/Other"}, "Cross-account"),
    ({"RoleArn": "not-an-arn-of-a-role"}, "roleArn"),
    ({"AlgorithmSpecification": {"TrainingImage": "me/my-image:1", "TrainingInputMode": "File"}}, "my-image"),
    ({"AlgorithmSpecification": {"TrainingImage": training_jobs.SKLEARN, "TrainingInputMode": "File"}}, "sagemaker_program"),
    ({"AlgorithmSpecification": {"AlgorithmName": "a", "TrainingInputMode": "File"}}, "AlgorithmName"),
    ({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}}, "InstanceCount"),
    ({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 0, "VolumeSizeInGB": 1}}, "instanceCount"),
    ({"ResourceConfig": {"InstanceType": "ml.invented", "InstanceCount": 1, "VolumeSizeInGB": 1}}, "instanceType"),
    ({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1, "VolumeKmsKeyId": "k"}}, "VolumeKmsKeyId"),
    ({"OutputDataConfig": {"S3OutputPath": "s3://b/x", "KmsKeyId": "alias/key"}}, "KmsKeyId"),
    ({"OutputDataConfig": {"S3OutputPath": "https://example.com/x"}}, "s3"),
    ({"InputDataConfig": [training_jobs.channel("a", "s3://b/x"), training_jobs.channel("a", "s3://b/y")]}, "more than once"),
    ({"InputDataConfig": [training_jobs.channel("a b", "s3://b/x")]}, "channelName"),
    ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "maxRuntimeInSeconds"),
    ({"StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 20}}, "MaxWaitTimeInSeconds"),
    ({"HyperParameters": {"k" * 257: "v"}}, "hyperParameters"),
    ({"HyperParameters": {"k": "v" * 2501}}, "hyperParameters"),
    ({"Environment": {"K=": "v"}}, "environment"),
    ({"Tags": [{"Key": "aws:mine", "Value": "x"}]}, "aws:"),
    ({"Tags": [{"Key": "k", "Value": "x"}, {"Key": "k", "Value": "y"}]}, "Duplicate"),
    ({"RetryStrategy": {"MaximumRetryAttempts": 31}}, "maximumRetryAttempts"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "told"), REFUSED, ids=[f"{told}-{n}" for n, (_, told) in enumerate(REFUSED)])
def test_create_training_job_refuses_what_it_can_not_do(world: World, changes: dict[str, Any], told: str) -> None:
    client = world.client("sagemaker", parameter_validation=False)
    request = {**training_jobs.request("refused", world.account, world.bucket), **changes}
    with pytest.raises(ClientError) as caught:
        client.create_training_job(**request)
    error = caught.value.response
    assert error["Error"]["Code"] == "ValidationException"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert told.lower() in error["Error"]["Message"].lower()
    assert client.list_training_jobs()["TrainingJobSummaries"] == []


def test_members_that_only_observe_are_noted_in_the_log(world: World) -> None:
    job = world.run(
        "noted",
        ProfilerConfig={"S3OutputPath": f"s3://{world.bucket}/p"},
        VpcConfig={"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        EnableInterContainerTrafficEncryption=True,
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    notes = "\n".join(line for line in world.log("noted") if line.startswith("[kenja]"))
    for name in ("ProfilerConfig", "VpcConfig", "EnableInterContainerTrafficEncryption", "3.2.0"):
        assert name in notes


def test_stop_training_job_stops_a_waiting_and_refuses_an_ended_one(world: World) -> None:
    sleepers = world.script("sleep", train__py="import time; print('up', flush=True); time.sleep(300)")
    names = [world.start(f"sleeper-{number}", **sleepers) for number in range(4)]
    for name in reversed(names):
        world.sagemaker.stop_training_job(TrainingJobName=name)
    for name in names:
        job = training_jobs.wait(world.sagemaker, name)
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    with pytest.raises(ClientError, match="in status Stopped"):
        world.sagemaker.stop_training_job(TrainingJobName=names[0])
    with pytest.raises(ClientError, match="not found"):
        world.sagemaker.stop_training_job(TrainingJobName="never-made")


def test_list_tags_add_tags_and_delete_tags_of_a_job(world: World) -> None:
    job = world.run("tagged", HyperParameters={"wrong": "1"}, Tags=[{"Key": "a", "Value": "1"}])
    arn = job["TrainingJobArn"]
    answer = world.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    assert {tag["Key"] for tag in answer["Tags"]} == {"a", "b"}
    world.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a", "absent"])
    assert world.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    with pytest.raises(ClientError, match="Could not find"):
        world.sagemaker.list_tags(ResourceArn=arn + "x")
    with pytest.raises(ClientError, match="at most 50"):
        world.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])


def test_jobs_wait_for_a_free_place_and_all_end(world: World) -> None:
    names = [world.start(f"queued-{number}") for number in range(8)]
    first = world.sagemaker.describe_training_job(TrainingJobName=names[-1])
    assert first["TrainingJobStatus"] == "InProgress"
    assert {training_jobs.wait(world.sagemaker, name, 120)["TrainingJobStatus"] for name in names} == {"Completed"}
    assert wait_until(
        lambda: (
            len(world.sagemaker.list_training_jobs(StatusEquals="Completed", MaxResults=50)["TrainingJobSummaries"])
            == 8
        )
    )
