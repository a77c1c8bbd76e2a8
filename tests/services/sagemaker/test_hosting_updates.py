"""Endpoints that change while they serve: variants and weights, more and fewer instances, another configuration. No request is lost."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError

from tests.conftest import RunningServer, wait_until
from tests.services.sagemaker.endpoints import (
    Hosting,
    csv,
    expected,
    open_hosting,
    packed_model,
    payload,
    replicas,
    rows,
)
from tests.services.sagemaker.traffic import Traffic

TABLE = rows(2)


@pytest.fixture
def hosting(server: RunningServer) -> Iterator[Hosting]:
    """An account of its own, whose endpoints are gone afterwards."""
    made = open_hosting(server, server.new_account())
    yield made
    for entry in made.sagemaker.list_endpoints()["Endpoints"]:
        made.settled(entry["EndpointName"])
        made.sagemaker.delete_endpoint(EndpointName=entry["EndpointName"])


def invoked(hosting: Hosting, name: str, **more: str) -> tuple[str, list[float]]:
    """(variant, predictions)."""
    answer = hosting.runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=csv(TABLE), **more)
    return answer["InvokedProductionVariant"], [float(value) for value in answer["Body"].read().split(b",")]


def two_variants(hosting: Hosting, name: str, *weights: float) -> None:
    """Variant A serves the model of seed 1, variant B that of seed 2."""
    hosting.model(f"{name}-a")
    hosting.model(f"{name}-b", packed_model(seed=2))
    variants = [
        hosting.variant(f"{name}-{letter.lower()}", VariantName=letter, InitialVariantWeight=weight)
        for letter, weight in zip("AB", weights, strict=True)
    ]
    hosting.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    hosting.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert hosting.settled(name)["EndpointStatus"] == "InService"


def described(hosting: Hosting, name: str) -> dict[str, dict[str, Any]]:
    """The variants by name."""
    found = hosting.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    return {variant["VariantName"]: variant for variant in found}


def test_requests_are_shared_by_weight_and_a_named_variant_is_honoured(hosting: Hosting) -> None:
    two_variants(hosting, "split", 3, 1)
    truth = {"A": expected(TABLE), "B": expected(TABLE, seed=2)}
    assert not np.allclose(truth["A"], truth["B"], atol=1e-3)
    seen: Counter[str] = Counter()
    for _ in range(200):
        variant, answers = invoked(hosting, "split")
        assert np.allclose(answers, truth[variant], atol=1e-6)
        seen[variant] += 1
    assert 20 <= seen["B"] <= 80, seen  # 50 expected; more than four standard deviations to either side
    for name in ("A", "B", "B"):
        variant, answers = invoked(hosting, "split", TargetVariant=name)
        assert variant == name
        assert np.allclose(answers, truth[name], atol=1e-6)
    with pytest.raises(ClientError, match="Variant C of endpoint split not found; it has A, B"):
        invoked(hosting, "split", TargetVariant="C")


def test_update_endpoint_weights_and_capacities_moves_traffic_and_instances(hosting: Hosting) -> None:
    two_variants(hosting, "moving", 1, 1)
    change = hosting.sagemaker.update_endpoint_weights_and_capacities
    with Traffic(hosting, "moving", [expected(TABLE), expected(TABLE, seed=2)]) as traffic:
        wait_until(lambda: traffic.good > 10)
        change(
            EndpointName="moving",
            DesiredWeightsAndCapacities=[
                {"VariantName": "A", "DesiredWeight": 0.0}, {"VariantName": "B", "DesiredInstanceCount": 3}
            ],
        )  # fmt: skip
        assert hosting.settled("moving")["EndpointStatus"] == "InService"
        variants = described(hosting, "moving")
        assert (variants["A"]["CurrentWeight"], variants["B"]["CurrentWeight"]) == (0.0, 1.0)
        assert (variants["B"]["CurrentInstanceCount"], variants["B"]["DesiredInstanceCount"]) == (3, 3)
        wait_until(lambda: len(replicas(hosting.server, "moving")) == 4)
        assert {invoked(hosting, "moving")[0] for _ in range(20)} == {"B"}
        assert invoked(hosting, "moving", TargetVariant="A")[0] == "A"
        change(EndpointName="moving", DesiredWeightsAndCapacities=[{"VariantName": "B", "DesiredInstanceCount": 1}])
        assert hosting.settled("moving")["EndpointStatus"] == "InService"
        wait_until(lambda: len(replicas(hosting.server, "moving")) == 2)
        seen = traffic.good
        wait_until(lambda: traffic.good > seen + 10)
    assert traffic.bad == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"VariantName": "C", "DesiredWeight": 1.0}, '"C" is/are not present'),
        ({"VariantName": "A", "DesiredInstanceCount": 0}, "must be 1 or more"),
        ({"VariantName": "A", "DesiredWeight": -1.0}, "greater than or equal to 0"),
        ({"VariantName": "A", "ServerlessUpdateConfig": {"MaxConcurrency": 1}}, "ServerlessUpdateConfig"),
    ],
)
def test_update_endpoint_weights_and_capacities_refuses(still: Hosting, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason) as caught:
        still.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="still", DesiredWeightsAndCapacities=[changes]
        )
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert still.settled("still")["EndpointStatus"] == "InService"


@pytest.fixture(scope="module")
def still(server: RunningServer) -> Hosting:
    """An account with an endpoint `still` of two variants that no test changes."""
    made = open_hosting(server, server.new_account())
    two_variants(made, "still", 1, 1)
    return made


def test_update_endpoint_changes_the_model_without_a_lost_request(hosting: Hosting) -> None:
    hosting.deploy("blue", count=2)
    before = replicas(hosting.server, "blue")
    hosting.config("green", hosting.model("green", packed_model(seed=2)), InitialInstanceCount=2)
    with Traffic(hosting, "blue", [expected(TABLE), expected(TABLE, seed=2)]) as traffic:
        wait_until(lambda: traffic.good > 20)
        answer = hosting.sagemaker.update_endpoint(EndpointName="blue", EndpointConfigName="green")
        assert answer["EndpointArn"].endswith(":endpoint/blue")
        found = hosting.sagemaker.describe_endpoint(EndpointName="blue")
        if found["EndpointStatus"] == "Updating":  # it may be over already
            assert found["EndpointConfigName"] == "blue"
            assert found["PendingDeploymentSummary"]["EndpointConfigName"] == "green"
            with pytest.raises(ClientError, match="in-progress"):
                hosting.sagemaker.update_endpoint(EndpointName="blue", EndpointConfigName="blue")
            with pytest.raises(ClientError, match="in-progress"):
                hosting.sagemaker.delete_endpoint(EndpointName="blue")
        found = hosting.settled("blue")
        assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "green")
        assert "PendingDeploymentSummary" not in found
        wait_until(lambda: len(replicas(hosting.server, "blue")) == 2)
        seen = traffic.good
        wait_until(lambda: traffic.good > seen + 20)
    assert traffic.bad == []
    assert not before.keys() & replicas(hosting.server, "blue").keys()
    assert np.allclose(invoked(hosting, "blue")[1], expected(TABLE, seed=2), atol=1e-6)


def test_update_endpoint_to_a_model_that_can_not_load_leaves_the_old_one_in_service(hosting: Hosting) -> None:
    hosting.deploy("kept")
    hosting.config("bad", hosting.model("bad", b"no archive"))
    hosting.sagemaker.update_endpoint(EndpointName="kept", EndpointConfigName="bad")
    found = hosting.settled("kept")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "kept")
    assert "Failed to extract model data archive" in found["FailureReason"]
    assert np.allclose(invoked(hosting, "kept")[1], expected(TABLE), atol=1e-6)
    wait_until(lambda: len(replicas(hosting.server, "kept")) == 1)
    hosting.config("good", hosting.model("good", packed_model(seed=2)))
    hosting.sagemaker.update_endpoint(EndpointName="kept", EndpointConfigName="good")
    found = hosting.settled("kept")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "good")
    assert "FailureReason" not in found
    assert np.allclose(invoked(hosting, "kept")[1], expected(TABLE, seed=2), atol=1e-6)


def test_update_endpoint_retains_weights_and_counts_where_it_is_asked_to(hosting: Hosting) -> None:
    hosting.deploy("retained")
    hosting.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="retained",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2, "DesiredWeight": 5.0}],
    )
    assert hosting.settled("retained")["EndpointStatus"] == "InService"
    hosting.config("next", "retained")
    for exclude, weight in (([], 5.0), ([{"VariantPropertyType": "DesiredWeight"}], 1.0)):
        hosting.sagemaker.update_endpoint(
            EndpointName="retained", EndpointConfigName="next", RetainAllVariantProperties=True,
            ExcludeRetainedVariantProperties=exclude,
        )  # fmt: skip
        assert hosting.settled("retained")["EndpointStatus"] == "InService"
        variant = described(hosting, "retained")["AllTraffic"]
        assert (variant["DesiredInstanceCount"], variant["DesiredWeight"]) == (2, weight)
    hosting.sagemaker.update_endpoint(EndpointName="retained", EndpointConfigName="next")
    hosting.settled("retained")
    assert described(hosting, "retained")["AllTraffic"]["DesiredInstanceCount"] == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"EndpointConfigName": "none"}, "Could not find endpoint configuration"),
        (
            {
                "DeploymentConfig": {
                    "BlueGreenUpdatePolicy": {
                        "TrafficRoutingConfiguration": {
                            "Type": "CANARY", "WaitIntervalInSeconds": 1, "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1}
                        }
                    }
                }
            },
            "CANARY",
        ),
        ({"ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}]}, "RetainAllVariantProperties"),
    ],
)  # fmt: skip
def test_update_endpoint_refuses(still: Hosting, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason) as caught:
        still.sagemaker.update_endpoint(**{"EndpointName": "still", "EndpointConfigName": "still", **changes})
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert still.settled("still")["EndpointStatus"] == "InService"


def test_a_failed_endpoint_is_not_updated(hosting: Hosting) -> None:
    hosting.start("failed", b"no archive")
    assert hosting.settled("failed")["EndpointStatus"] == "Failed"
    with pytest.raises(ClientError, match="Cannot update failed endpoint"):
        hosting.sagemaker.update_endpoint(EndpointName="failed", EndpointConfigName="failed")


def can_take(hosting: Hosting, endpoint: str) -> bool:
    try:
        invoked(hosting, endpoint)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ServiceUnavailable", error
        return False
    return True


def test_a_replica_that_hangs_is_replaced(hosting: Hosting) -> None:
    hosting.deploy("hanging")
    (folder,) = replicas(hosting.server, "hanging")
    os.kill(payload(replicas(hosting.server, "hanging")[folder]), signal.SIGSTOP)
    wait_until(lambda: hosting.ready("hanging") == 1 and folder not in replicas(hosting.server, "hanging"), 60)
    wait_until(lambda: can_take(hosting, "hanging"))  # the gateway's routes are at most a second old
    assert np.allclose(invoked(hosting, "hanging")[1], expected(TABLE), atol=1e-6)


def test_five_replicas_serve(hosting: Hosting) -> None:
    hosting.deploy("many", count=5)
    assert hosting.ready("many") == 5
    assert len(replicas(hosting.server, "many")) == 5
    with Traffic(hosting, "many", [expected(TABLE)]) as traffic:
        wait_until(lambda: traffic.good > 50)
    assert traffic.bad == []
