"""AWS's host names: every address that botocore itself would call is taken for the service and region that it means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError

from kenja.kernel.services import manifests
from kenja.server.chain import hosts

SESSION = botocore.session.get_session()
REGIONS = sorted(
    {region for partition in SESSION.get_available_partitions() for region in SESSION.get_available_regions("s3", partition)}
)  # fmt: skip


def provider(service: str) -> EndpointProvider:
    loader = SESSION.get_component("data_loader")
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    return EndpointProvider(rules, loader.load_data("partitions"))


def addresses(service: str) -> Iterator[tuple[str, str]]:
    """(host, signing region) of every endpoint that botocore's own rules give."""
    resolve = provider(service)
    declared = resolve.ruleset.parameters
    for region in REGIONS:
        for fips in (False, True):
            for dual in (False, True):
                given: dict[str, Any] = {
                    "Region": region,
                    "UseFIPS": fips,
                    "UseDualStack": dual,
                    "UseGlobalEndpoint": False,
                }
                try:
                    found = resolve.resolve_endpoint(
                        **{name: value for name, value in given.items() if name in declared}
                    )
                except EndpointProviderError:
                    continue  # this partition has no such variant
                schemes = found.properties.get("authSchemes") or [{}]
                yield (
                    urlsplit(found.url).netloc,
                    schemes[0].get("signingRegion", region),
                )  # IAM's is that of its partition


@pytest.mark.parametrize("service", sorted(manifests()))
def test_every_endpoint_of_botocore_means_its_service_and_region(service: str) -> None:
    seen = 0
    for host, region in addresses(service):
        parsed = hosts.parse(f"{host}:443")
        assert parsed is not None, host
        addressed = hosts.served(parsed, manifests())
        assert addressed is not None, host
        assert (addressed.manifest.name, addressed.before) == (service, ""), host
        assert addressed.region in (region, ""), host
        seen += 1
    assert seen >= len(REGIONS)


@pytest.mark.parametrize(
    ("host", "service", "region", "before"),
    [
        ("sts.amazonaws.com", "sts", "", ""),
        ("STS.US-EAST-1.AMAZONAWS.COM:443", "sts", "us-east-1", ""),
        ("tables.s3.us-west-2.amazonaws.com", "s3", "us-west-2", "tables"),
        ("my.dotted.tables.s3.amazonaws.com", "s3", "", "my.dotted.tables"),
        ("tables.s3.dualstack.eu-west-1.amazonaws.com", "s3", "eu-west-1", "tables"),
        ("tables.s3-us-west-2.amazonaws.com", "s3", "us-west-2", "tables"),
        ("us-east-1-tables-fips.s3.us-east-1.amazonaws.com", "s3", "us-east-1", "us-east-1-tables-fips"),
        ("stream-logs.us-east-1.amazonaws.com", "logs", "us-east-1", "stream-"),
    ],
)
def test_what_stands_before_a_service_is_kept(host: str, service: str, region: str, before: str) -> None:
    parsed = hosts.parse(host)
    assert parsed is not None
    addressed = hosts.served(parsed, manifests())
    assert addressed is not None
    assert (addressed.manifest.name, addressed.region, addressed.before) == (service, region, before)


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("dynamodb.us-east-1.amazonaws.com", "dynamodb"),
        ("queue.amazonaws.com", "sqs"),
        ("us-west-2.queue.amazonaws.com", "sqs"),
        ("123456789012.s3-control.us-east-1.amazonaws.com", "s3control"),
        ("sync-states.us-east-1.amazonaws.com", "stepfunctions"),
        ("foo-logs.us-east-1.amazonaws.com", "logs"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com", ""),
    ],
)
def test_hosts_of_services_that_are_not_served_are_still_amazons(host: str, known: str) -> None:
    parsed = hosts.parse(host)
    assert parsed is not None
    assert hosts.served(parsed, {name: one for name, one in manifests().items() if name != "sqs"}) is None
    assert hosts.known(parsed).get("name", "") == known


@pytest.mark.parametrize(
    "host",
    [
        "", ":", "example.com", "amazonaws.com.example.com", "notamazonaws.com", "amazonaws.com", "127.0.0.1:4566",
        "[::1]:4566", "localhost", "a..s3.amazonaws.com", "-x-.amazonaws.com", "a b.amazonaws.com",
        "../../etc.amazonaws.com", "x" * 250 + ".amazonaws.com", "日本.amazonaws.com", "aws.amazon.com",
    ],
)  # fmt: skip
def test_other_names_and_no_names_are_not_amazons(host: str) -> None:
    assert hosts.parse(host) is None


def test_the_services_that_take_bearer_tokens_are_those_whose_models_say_so() -> None:
    found = hosts.bearer_services()
    assert {"bedrock", "bedrock-runtime"} <= set(found)
    for name in ("bedrock", "bedrock-runtime", "sagemaker", "sts"):
        model = SESSION.get_service_model(name)
        assert (name in found) == ("smithy.api#httpBearerAuth" in (model.metadata.get("auth") or []))
