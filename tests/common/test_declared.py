"""What holds for everything that is declared: a resource, an operation, a waiter or a paginator is tested by existing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, WaiterError
from botocore.parsers import ResponseParserError
from botocore.waiter import WaiterModel

from kenja.kernel.declare import Resource, Service
from kenja.kernel.services import load_all
from kenja.wire import models
from tests.common.requests import smallest
from tests.conftest import Keys, RunningServer
from tests.wire.test_round_trip import SAME_REQUEST

SERVICES = load_all()
RESOURCES = [(service, resource) for service in SERVICES for resource in service.resources.values()]
IDS = [f"{service.name}.{resource.kind}" for service, resource in RESOURCES]


def method(client: Any, operation: str) -> Callable[..., Any]:
    """The client's method of an operation."""
    names: dict[str, str] = client.meta.method_to_api_mapping
    return getattr(client, next(python for python, aws in names.items() if aws == operation))  # type: ignore[no-any-return]


def code(error: ClientError) -> tuple[int, str]:
    return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


@pytest.mark.parametrize(("service", "resource"), RESOURCES, ids=IDS)
def test_names_arns_and_states_are_those_of_the_model(service: Service, resource: Resource) -> None:
    model, kind = service.model, resource.kind
    create = model.operation_model(f"Create{kind}")
    assert create.input_shape is not None
    assert create.output_shape is not None
    assert f"{kind}Name" in create.input_shape.members
    assert f"{kind}Arn" in create.output_shape.members
    arn = resource.arn.format(name="a-b", lower="a-b")
    pattern = create.output_shape.members[f"{kind}Arn"].metadata.get("pattern")
    if pattern:
        assert re.fullmatch(pattern, f"arn:aws:{service.arn_service}:us-east-1:123456789012:{arn}")
    if resource.lifecycle is not None:
        describe = model.operation_model(f"Describe{kind}").output_shape
        assert describe is not None
        states = set(describe.members[f"{kind}Status"].enum)
        assert resource.lifecycle.states <= states
        reachable, frontier = {resource.lifecycle.initial}, [resource.lifecycle.initial]
        while frontier:
            for following in resource.lifecycle.moves.get(frontier.pop(), ()):
                if following not in reachable:
                    reachable.add(following)
                    frontier.append(following)
        assert resource.lifecycle.states <= reachable, "every state can be reached"


class Life:
    """The calls of one resource in a fresh account, with requests generated from the model."""

    def __init__(self, server: RunningServer, service: Service, resource: Resource) -> None:
        self.keys = server.new_account()
        self.client = server.client(service.name, self.keys)
        self.service, self.resource = service, resource
        self.name_member, self.arn_member = f"{resource.kind}Name", f"{resource.kind}Arn"
        self._prepare(resource.kind)

    def _prepare(self, kind: str) -> None:
        """What must exist before: an endpoint needs its configuration, that a model."""
        if kind in ("EndpointConfig", "Endpoint"):
            self.call("CreateModel", ModelName="xxxx")
        if kind == "Endpoint":
            self.call("CreateEndpointConfig", EndpointConfigName="xxxx", ModelName="xxxx")

    def call(self, operation: str, **given: Any) -> Any:
        request = smallest(self.service.model.operation_model(operation), self.keys.account, **given)
        return method(self.client, operation)(**request)

    def create(self, name: str, **given: Any) -> Any:
        extra = {"Tags": given.pop("Tags")} if "Tags" in given else {}
        operation = f"Create{self.resource.kind}"
        request = smallest(
            self.service.model.operation_model(operation),
            self.keys.account,
            **{"ModelName": "xxxx", self.name_member: name, **given},
        )
        return request, method(self.client, operation)(**request, **extra)


@pytest.fixture(params=range(len(RESOURCES)), ids=IDS)
def life(request: pytest.FixtureRequest, server: RunningServer) -> Life:
    service, resource = RESOURCES[request.param]
    return Life(server, service, resource)


def test_what_create_was_told_describe_tells(life: Life) -> None:
    sent, made = life.create("told-1")
    told = life.call(f"Describe{life.resource.kind}", **{life.name_member: "told-1"})
    assert told[life.arn_member] == made[life.arn_member]
    output = life.service.model.operation_model(f"Describe{life.resource.kind}").output_shape
    for member, value in sent.items():
        if member in output.members and member not in ("ProductionVariants", "StoppingCondition", "PrimaryContainer"):
            shown = {**told[member], **value} if isinstance(value, dict) else value  # defaults may stand beside
            assert told[member] == shown, member


def test_a_taken_name_and_a_missing_one_are_refused(life: Life) -> None:
    life.create("twice-1")
    with pytest.raises(ClientError) as caught:
        life.create("twice-1")
    assert code(caught.value)[0] == 400
    for operation in ("Describe", "Delete", "Stop", "Update"):
        name = f"{operation}{life.resource.kind}"
        if name in life.service.operations:
            with pytest.raises(ClientError) as caught:
                life.call(name, **{life.name_member: "never-made"})
            assert code(caught.value)[0] in (400, 404), name


def test_lists_page_through_everything_in_both_orders(life: Life) -> None:
    plural = life.resource.plural or f"{life.resource.kind}s"
    for number in range(5):
        life.create(f"listed-{number}")
    paginator = next(
        life.client.get_paginator(python)
        for python, aws in life.client.meta.method_to_api_mapping.items()
        if aws == f"List{plural}"
    )
    for order in ("Ascending", "Descending"):
        names = [
            item[life.name_member]
            for page in paginator.paginate(SortOrder=order, SortBy="Name", NameContains="listed", PaginationConfig={"PageSize": 2})
            for items in page.values() if isinstance(items, list)
            for item in items
        ]  # fmt: skip
        assert names == sorted((f"listed-{number}" for number in range(5)), reverse=order == "Descending")


def test_tags_come_back(life: Life) -> None:
    _, made = life.create("tagged-1", Tags=[{"Key": "team", "Value": "研究"}])
    arn = made[life.arn_member]
    assert life.client.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "研究"}]


def test_hostile_names_are_refused(life: Life, server: RunningServer) -> None:
    client = server.client(life.service.name, life.keys, parameter_validation=False)
    operation = f"Create{life.resource.kind}"
    for name in ("", "../up", "a b", "名前", "x" * 500, "<img src=x onerror=alert(1)>", "a\nb"):
        request = smallest(
            life.service.model.operation_model(operation),
            life.keys.account,
            **{"ModelName": "xxxx", life.name_member: name},
        )
        with pytest.raises(ClientError) as caught:
            method(client, operation)(**request)
        assert code(caught.value) == (400, "ValidationException")


SERVED = [(service, name) for service in SERVICES for name in service.operations]
REFUSED = [
    (service, name) for service in SERVICES for name in service.model.operation_names if name not in service.operations
]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_other_operation_answers_level_0(service: Service, server: RunningServer) -> None:
    client = server.client(service.name, parameter_validation=False)
    wrong = []
    for owner, name in REFUSED:
        if owner is not service:
            continue
        model = service.model.operation_model(name)
        if model.has_event_stream_input or not hasattr(client, _python_name(client, name)):
            continue
        if SAME_REQUEST.get(name) in service.operations:
            continue  # what arrives is the served one's request
        request = smallest(model, "000000000000")
        try:
            method(client, name)(**request)
            wrong.append((name, "answered"))
        except ClientError as error:
            unsigned = model.auth_type == "none"  # every unsigned request is refused before its operation is looked at
            if code(error)[0] != 501 and not unsigned:
                wrong.append((name, *code(error)))
        except Exception as error:
            if type(error).__module__.startswith("botocore") and "endpoint" in str(error).lower():
                continue  # a host prefix that this client can not resolve; see WIRE.md on StartLiveTail
            wrong.append((name, repr(error)[:200]))
    assert wrong == []


def _python_name(client: Any, operation: str) -> str:
    return next((python for python, aws in client.meta.method_to_api_mapping.items() if aws == operation), "-")


@pytest.mark.parametrize(("service", "name"), SERVED, ids=[f"{service.name}.{name}" for service, name in SERVED])
def test_random_members_never_fail_the_server(
    service: Service, name: str, server: RunningServer, account: Keys
) -> None:
    client = server.client(service.name, account, parameter_validation=False)
    request = smallest(service.model.operation_model(name), account.account)
    for variant in (
        request,
        *({**request, member: value} for member in request for value in ("", "x" * 5000, "\u0000", "賢者", "-1")),
    ):
        try:
            method(client, name)(**variant)
        except ClientError as error:
            assert code(error)[0] < 500, (name, variant, error)
        except HTTPClientError as error:  # no answer, or a broken one: the server's fault
            raise AssertionError((name, variant)) from error
        except (BotoCoreError, ValueError, TypeError, AttributeError) as error:
            assert not isinstance(error, ResponseParserError), (
                name,
                variant,
                error,
            )  # else the client could not send it


def _paginators() -> Iterator[Any]:
    for service in SERVICES:
        try:
            table = models.document(service.name, "paginators-1")["pagination"]
        except LookupError:
            continue
        for operation in table:
            if operation in service.operations:
                yield pytest.param(service, operation, id=f"{service.name}.{operation}")


@pytest.mark.parametrize(("service", "operation"), list(_paginators()))
def test_every_paginator_of_a_served_operation_runs(
    service: Service, operation: str, server: RunningServer, account: Keys
) -> None:
    client = server.client(service.name, account)
    request = smallest(service.model.operation_model(operation), account.account)
    try:
        pages = list(client.get_paginator(_python_name(client, operation)).paginate(**request))
    except ClientError as error:
        assert code(error)[0] in (400, 403, 404), error
    else:
        assert len(pages) == 1


def _waiters() -> Iterator[Any]:
    for service in SERVICES:
        try:
            model = WaiterModel(models.document(service.name, "waiters-2"))
        except LookupError:
            continue
        for name in model.waiter_names:
            if model.get_waiter(name).operation in service.operations:
                yield pytest.param(service, name, id=f"{service.name}.{name}")


@pytest.mark.parametrize(("service", "waiter"), list(_waiters()))
def test_every_waiter_of_a_served_operation_understands_the_answers(
    service: Service, waiter: str, server: RunningServer, account: Keys
) -> None:
    client = server.client(service.name, account)
    python = next(
        name for name in client.waiter_names if name.replace("_", "").lower() == waiter.replace("_", "").lower()
    )
    waiting = client.get_waiter(python)
    request = smallest(service.model.operation_model(waiting.config.operation), account.account)
    try:
        waiting.wait(**request, WaiterConfig={"Delay": 1, "MaxAttempts": 1})
    except WaiterError as error:
        answer = error.last_response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        assert answer < 500, error
