"""Models, endpoint configurations and endpoints over boto3: predictions are the library's, states and refusals are AWS's."""

from __future__ import annotations

import datetime
import io
import os
import re
import signal
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from tests.conftest import Keys, RunningServer, wait_until
from tests.services.sagemaker.endpoints import (
    FEATURES,
    IMAGE,
    SKLEARN,
    Hosting,
    archive,
    csv,
    expected,
    open_hosting,
    packed_model,
    payload,
    replicas,
    rows,
)  # fmt: skip


@pytest.fixture
def hosting(server: RunningServer, account: Keys) -> Hosting:
    return open_hosting(server, account)


@pytest.fixture(scope="module")
def shared(server: RunningServer) -> Hosting:
    """An account with an endpoint `live` of two instances."""
    made = open_hosting(server, server.new_account())
    made.deploy("live", count=2)
    return made


OLD = "811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1"


def refused(call: Callable[..., Any], **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return str(caught.value.response["Error"]["Message"])


def test_an_endpoint_predicts_as_the_library_does(shared: Hosting) -> None:
    table = rows(50)
    assert np.allclose(shared.predict("live", table), expected(table), atol=1e-6)
    other = rows(3, seed=4)
    assert np.allclose(shared.predict("live", other), expected(other), atol=1e-6)


def test_another_model_gives_other_predictions(hosting: Hosting) -> None:
    hosting.deploy("other", packed_model(seed=3))
    table = rows(20)
    assert np.allclose(hosting.predict("other", table), expected(table, seed=3), atol=1e-6)
    assert not np.allclose(expected(table), expected(table, seed=3), atol=1e-3)


def test_a_described_endpoint_tells_its_variant_and_images(shared: Hosting) -> None:
    described = shared.sagemaker.describe_endpoint(EndpointName="live")
    assert described["EndpointArn"] == f"arn:aws:sagemaker:us-east-1:{shared.keys.account}:endpoint/live"
    assert described["EndpointConfigName"] == "live"
    (variant,) = described["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (2, 2)
    assert variant["CurrentWeight"] == 1.0
    assert variant["DeployedImages"][0]["SpecifiedImage"] == IMAGE
    assert "_model" not in described


def test_models_configs_and_endpoints_are_described_listed_and_tagged(hosting: Hosting) -> None:
    sagemaker = hosting.sagemaker
    hosting.model("Big-Name", Tags=[{"Key": "team", "Value": "blue"}])
    hosting.config("plan", "Big-Name", InitialInstanceCount=2)
    described = sagemaker.describe_model(ModelName="Big-Name")
    assert described["PrimaryContainer"]["Image"] == IMAGE
    assert described["EnableNetworkIsolation"] is False
    assert described["ModelArn"].endswith(":model/big-name")
    assert sagemaker.list_tags(ResourceArn=described["ModelArn"])["Tags"] == [{"Key": "team", "Value": "blue"}]
    assert [model["ModelName"] for model in sagemaker.list_models(NameContains="big")["Models"]] == ["Big-Name"]
    plan = sagemaker.describe_endpoint_config(EndpointConfigName="plan")
    assert plan["ProductionVariants"][0]["InitialVariantWeight"] == 1.0
    listed = sagemaker.list_endpoint_configs()["EndpointConfigs"]
    assert [entry["EndpointConfigName"] for entry in listed] == ["plan"]
    assert sagemaker.list_endpoints()["Endpoints"] == []


def test_create_endpoint_goes_through_creating_to_in_service_and_deleting(hosting: Hosting) -> None:
    sagemaker = hosting.sagemaker
    reconciler = hosting.server.children()["reconciler"]
    os.kill(reconciler, signal.SIGSTOP)  # so that it does not become InService too soon to be seen
    try:
        hosting.start("short")
        assert sagemaker.describe_endpoint(EndpointName="short")["EndpointStatus"] == "Creating"
        assert "in-progress" in refused(sagemaker.delete_endpoint, EndpointName="short")
    finally:
        os.kill(reconciler, signal.SIGCONT)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="short", WaiterConfig={"Delay": 1, "MaxAttempts": 40})
    assert [e["EndpointStatus"] for e in sagemaker.list_endpoints(StatusEquals="InService")["Endpoints"]] == [
        "InService"
    ]
    sagemaker.delete_model(ModelName="short")
    sagemaker.delete_endpoint_config(EndpointConfigName="short")
    assert len(hosting.predict("short", rows(1))) == 1  # it keeps what it was made from
    sagemaker.delete_endpoint(EndpointName="short")
    with pytest.raises(ClientError, match="not found"):
        hosting.predict("short", rows(1))
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="short", WaiterConfig={"Delay": 1, "MaxAttempts": 40})
    assert "Could not find" in refused(sagemaker.describe_endpoint, EndpointName="short")
    hosting.model("short")
    hosting.config("short", "short")
    sagemaker.create_endpoint(EndpointName="short", EndpointConfigName="short")  # the name is free again
    assert hosting.settled("short")["EndpointStatus"] == "InService"


def test_what_a_replica_says_is_in_its_log(shared: Hosting) -> None:
    logs = shared.server.client("logs", shared.keys)
    streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/live")["logStreams"]
    assert len(streams) == 2
    assert all(stream["logStreamName"].startswith("AllTraffic/i-") for stream in streams)
    assert any("model server: xgboost is ready" in line for line in shared.log("live"))
    assert any("share of this machine" in line for line in shared.log("live"))


def links() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("xgboost-model")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"no archive", "Failed to extract model data archive", id="no-archive"),
        pytest.param(archive(**{"../escaped": b"x"}), "outside", id="escaping"),
        pytest.param(links(), "link", id="link"),
        pytest.param(archive(xgboost__model=b"\x80pickle"), "did not pass the ping health check.*pickle", id="pickle"),
        pytest.param(archive(a=b"1", b=b"2"), "did not pass the ping health check.*no file 'xgboost-model'", id="none"),
    ],
)
def test_a_bad_model_archive_fails_the_endpoint_with_a_reason(hosting: Hosting, body: bytes, reason: str) -> None:
    hosting.start("bad", body)
    described = hosting.settled("bad")
    assert described["EndpointStatus"] == "Failed"
    assert re.search(reason, described["FailureReason"], re.DOTALL), described["FailureReason"]
    with pytest.raises(ClientError, match="not found"):
        hosting.predict("bad", rows(1))
    hosting.sagemaker.delete_endpoint(EndpointName="bad")
    wait_until(lambda: not hosting.sagemaker.list_endpoints()["Endpoints"])


def test_missing_model_data_fails_the_endpoint(hosting: Hosting) -> None:
    hosting.start("empty", PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{hosting.bucket}/nothing.tar.gz"})
    described = hosting.settled("empty")
    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"].startswith("Failed to download model data")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PrimaryContainer": {"Image": "123.dkr.ecr.us-east-1.amazonaws.com/own:1"}}, "No runtime stands in"),
        ({"PrimaryContainer": {"Image": SKLEARN}}, "ModelDataUrl is missing"),
        ({"PrimaryContainer": {"Image": IMAGE}}, "ModelDataUrl is missing"),
        ({"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://bucket"}}, "must be s3://bucket/key"),
        ({"PrimaryContainer": {"ModelDataUrl": "s3://b/k"}}, "Image is missing"),
        ({"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://b/k", "Mode": "MultiModel"}}, "MultiModel"),
        (
            {"PrimaryContainer": {"Image": OLD, "ModelDataUrl": "s3://b/k", "Environment": {"SAGEMAKER_PROGRAM": "i.py"}}},
            "runs no script",
        ),
        (
            {"PrimaryContainer": {"Image": IMAGE, "Environment": {"SAGEMAKER_SUBMIT_DIRECTORY": "s3://only-a-bucket"}}},
            "SAGEMAKER_SUBMIT_DIRECTORY is 's3://only-a-bucket'",
        ),
        ({"PrimaryContainer": {"ModelPackageName": "group/1"}}, "ModelPackageName"),
        ({"Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://b/k"}] * 2}, "one container"),
        ({"PrimaryContainer": {}, "Containers": []}, "PrimaryContainer is missing"),
        ({"InferenceExecutionConfig": {"Mode": "Serial"}}, "InferenceExecutionConfig"),
        ({"ExecutionRoleArn": "arn:aws:iam::999999999999:role/Other"}, "Cross-account"),
        ({"ModelName": "no_underscores"}, "regular expression"),
    ],
)  # fmt: skip
def test_create_model_refuses(hosting: Hosting, changes: dict[str, Any], reason: str) -> None:
    base = {"ModelName": "m", "ExecutionRoleArn": hosting.role}
    base["PrimaryContainer"] = {"Image": IMAGE, "ModelDataUrl": "s3://b/k"}  # type: ignore[assignment]
    if "Containers" in changes and "PrimaryContainer" not in changes:
        del base["PrimaryContainer"]
    assert reason in refused(hosting.sagemaker.create_model, **{**base, **changes})
    assert hosting.sagemaker.list_models()["Models"] == []


@pytest.mark.parametrize(
    ("variant", "request_", "reason"),
    [
        ({"ModelName": "absent"}, {}, 'Could not find model "arn:aws:sagemaker:us-east-1:'),
        ({"InitialInstanceCount": 0}, {}, "greater than or equal to 1"),
        ({"InstanceType": "ml.none.large"}, {}, "enum value set"),
        ({"InstanceType": None}, {}, "no InstanceType"),
        ({"InitialInstanceCount": None}, {}, "no InitialInstanceCount"),
        ({"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}, {}, "ServerlessConfig"),
        ({}, {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o"}}}, "AsyncInferenceConfig"),
        ({}, {"KmsKeyId": "alias/key"}, "KmsKeyId"),
        (
            {},
            {
                "DataCaptureConfig": {
                    "EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://b/c",
                    "CaptureOptions": [{"CaptureMode": "Input"}],
                }
            },
            "EnableCapture",
        ),
        ({}, {"ProductionVariants": []}, "length greater than or equal to 1"),
    ],
)  # fmt: skip
def test_create_endpoint_config_refuses(
    hosting: Hosting, variant: dict[str, Any], request_: dict[str, Any], reason: str
) -> None:
    hosting.model("m")
    given = {name: value for name, value in hosting.variant("m", **variant).items() if value is not None}
    request = {"EndpointConfigName": "c", "ProductionVariants": [given], **request_}
    assert reason in refused(hosting.sagemaker.create_endpoint_config, **request)


def test_more_instances_than_a_machine_takes_are_refused(hosting: Hosting) -> None:
    hosting.model("m")
    variants = [
        hosting.variant("m", InitialInstanceCount=11),
        hosting.variant("m", VariantName="B", InitialInstanceCount=10),
    ]
    with pytest.raises(ClientError, match="wants 21 instances; 20 are allowed") as caught:
        hosting.sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=variants)
    assert caught.value.response["Error"]["Code"] == "ResourceLimitExceeded"


def test_two_variants_of_one_name_are_refused(hosting: Hosting) -> None:
    hosting.model("m")
    variants = [hosting.variant("m"), hosting.variant("m", VariantName="B"), hosting.variant("m")]
    call = hosting.sagemaker.create_endpoint_config
    assert "'AllTraffic' more than once" in refused(call, EndpointConfigName="c", ProductionVariants=variants)


def test_duplicates_are_refused_in_awss_words(hosting: Hosting, shared: Hosting) -> None:
    hosting.model("m")
    hosting.config("c", "m")
    arn = f"arn:aws:sagemaker:us-east-1:{hosting.keys.account}"
    container = {"Image": IMAGE, "ModelDataUrl": "s3://b/k"}
    told = refused(
        hosting.sagemaker.create_model, ModelName="m", ExecutionRoleArn=hosting.role, PrimaryContainer=container
    )
    assert f'Cannot create already existing model "{arn}:model/m"' in told
    told = refused(
        hosting.sagemaker.create_endpoint_config, EndpointConfigName="c", ProductionVariants=[hosting.variant("m")]
    )
    assert f'Cannot create already existing endpoint configuration "{arn}:endpoint-config/c"' in told
    told = refused(shared.sagemaker.create_endpoint, EndpointName="live", EndpointConfigName="live")
    assert 'Cannot create already existing endpoint "arn:' in told


def test_what_is_not_there_is_told_in_awss_words(hosting: Hosting) -> None:
    sagemaker = hosting.sagemaker
    config = "Could not find endpoint configuration"
    assert config in refused(sagemaker.create_endpoint, EndpointName="e", EndpointConfigName="none")
    assert config in refused(sagemaker.describe_endpoint_config, EndpointConfigName="none")
    assert config in refused(sagemaker.delete_endpoint_config, EndpointConfigName="none")
    assert 'Could not find model "' in refused(sagemaker.describe_model, ModelName="none")
    assert 'Could not find model "' in refused(sagemaker.delete_model, ModelName="none")
    assert 'Could not find endpoint "' in refused(sagemaker.describe_endpoint, EndpointName="none")
    assert 'Could not find endpoint "' in refused(sagemaker.delete_endpoint, EndpointName="none")
    assert "NextToken" in refused(sagemaker.list_endpoints, NextToken="x")
    assert "NextToken" in refused(sagemaker.list_models, NextToken="x")
    assert "NextToken" in refused(sagemaker.list_endpoint_configs, NextToken="x")
    hosting.config("c", hosting.model("m"))
    sagemaker.delete_model(ModelName="m")
    assert "Could not find model" in refused(sagemaker.create_endpoint, EndpointName="e", EndpointConfigName="c")
    assert 'Could not find endpoint "' in refused(sagemaker.update_endpoint, EndpointName="e", EndpointConfigName="c")
    assert 'Could not find endpoint "' in refused(
        sagemaker.update_endpoint_weights_and_capacities, EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "A", "DesiredWeight": 1}],
    )  # fmt: skip


def test_both_replicas_serve_and_a_stuck_one_holds_up_only_its_own_requests(shared: Hosting) -> None:
    table = rows(2)
    described = lambda: shared.sagemaker.describe_endpoint(EndpointName="live")  # noqa: E731
    wait_until(lambda: described()["ProductionVariants"][0]["CurrentInstanceCount"] == 2)
    time.sleep(1.5)  # seconds; another test may have replaced one, and a routing table is at most a second old
    for shim in replicas(shared.server, "live").values():
        stuck = payload(shim)
        os.kill(stuck, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(8) as pool:
                calls = [pool.submit(shared.predict, "live", table) for _ in range(8)]
                done, waiting = wait(calls, timeout=3)
                assert len(done) >= 4
                assert waiting, "no request went to this replica"
                os.kill(stuck, signal.SIGCONT)
                assert all(np.allclose(call.result(20), expected(table), atol=1e-6) for call in calls)
        finally:
            os.kill(stuck, signal.SIGCONT)


def test_invocations_are_counted_in_cloudwatch(hosting: Hosting) -> None:
    hosting.deploy("counted")
    for _ in range(3):
        hosting.predict("counted", rows(1))
    with pytest.raises(ClientError, match="2 features"):
        hosting.runtime.invoke_endpoint(EndpointName="counted", ContentType="text/csv", Body=b"1,2")
    metrics = hosting.server.client("cloudwatch", hosting.keys)
    dimensions = [{"Name": "EndpointName", "Value": "counted"}, {"Name": "VariantName", "Value": "AllTraffic"}]

    def total(name: str) -> float:
        now = datetime.datetime.now(datetime.UTC)
        points = metrics.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName=name, Dimensions=dimensions, Period=60, Statistics=["Sum"],
            StartTime=now - datetime.timedelta(minutes=5), EndTime=now + datetime.timedelta(minutes=5),
        )["Datapoints"]  # fmt: skip
        return float(sum(point["Sum"] for point in points))

    wait_until(lambda: total("Invocations") == 4)
    assert total("Invocation4XXErrors") == 1
    assert total("Invocation5XXErrors") == 0
    assert total("InvocationModelErrors") == 1
    assert 0 < total("ModelLatency") < 4e6
    assert 0 < total("OverheadLatency") < 4e6


def test_a_body_of_another_account_is_out_of_reach(hosting: Hosting, shared: Hosting) -> None:
    body = csv(rows(1))
    assert body.count(b",") == FEATURES - 1
    with pytest.raises(ClientError, match=f"Endpoint live of account {hosting.keys.account} not found"):
        hosting.runtime.invoke_endpoint(EndpointName="live", ContentType="text/csv", Body=body)
