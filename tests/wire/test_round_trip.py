"""Every operation of every service, both ways: botocore's serializer → our reader, our writer → botocore's parser.

Values are made from the shapes and satisfy their constraints; each operation is tried with its required members alone
and with all of them, in every protocol that its service's model lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from botocore.exceptions import EventStreamError
from botocore.model import OperationModel, Shape

from kenja.kernel.services import manifests
from kenja.wire import Codec, codec, load, select, violations
from kenja.wire.codec import protocols
from tests.wire import samples

SERVED = tuple(manifests())
# Not served yet: a service of each further kind. Of EC2's 830 operations every twentieth.
OTHERS = ("comprehend", "polly", "sqs", "bedrock-runtime", "ec2")
STEP = {"ec2": 20}
SPOKEN = [(service, protocol) for service in (*SERVED, *OTHERS) for protocol in protocols(load(service))]
SPOKEN.remove(("sqs", "query"))  # botocore has forgotten that form and its names: test_models.py writes it out
STREAMING = [
    (service, protocol)
    for service, protocol in SPOKEN
    if service in ("logs", "s3", "sagemaker-runtime", "bedrock-runtime")
]
VARIANTS = pytest.mark.parametrize("full", [True, False], ids=["all members", "required members"])

# On the wire these are the same request; the newer operation answers. ListDirectoryBuckets has a host of its own.
SAME_REQUEST = {
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "ListDirectoryBuckets": "ListBuckets",
}


# Their shapes give two members one element name (`Event`), so no reader can tell them apart.
AMBIGUOUS = frozenset({"PutBucketNotification", "GetBucketNotification"})


@cache
def _operations(service: str) -> list[OperationModel]:
    model = load(service)
    found = [model.operation_model(name) for name in model.operation_names[:: STEP.get(service, 1)]]
    return [operation for operation in found if not operation.has_event_stream_input]  # botocore offers none of them


def _values(operation: OperationModel, shape: Shape | None, full: bool) -> dict[str, Any]:
    if shape is None:
        return {}
    made: dict[str, Any] = samples.Sample(operation.name, full=full).value(shape)
    return made


def test_every_protocol_that_a_served_model_lists_is_spoken() -> None:
    for service in SERVED:
        metadata = load(service).metadata
        assert protocols(load(service)) == metadata.get("protocols", [metadata["protocol"]]), service
    assert "query" in protocols(load("cloudwatch"))
    assert protocols(load("sqs")) == ["json", "query"]


@VARIANTS
@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_what_botocore_sends_is_what_we_read(service: str, protocol: str, full: bool) -> None:
    chosen = codec(load(service), protocol)
    for operation in _operations(service):
        values = _values(operation, operation.input_shape, full)
        request = samples.send(operation, protocol, values)
        routed = chosen.route(request)
        assert routed is not None, operation.name
        assert routed[0] == SAME_REQUEST.get(operation.name, operation.name)
        if operation.name in AMBIGUOUS:
            continue
        found = chosen.parse(operation.name, request, routed[1])
        sent = _sent(operation, values, protocol)
        if "ContentLength" not in values:
            found.pop("ContentLength", None)  # HTTP's own header is a member of S3's requests
        assert samples.comparable(found) == samples.comparable(sent), operation.name
        assert violations(operation.input_shape, values) == [], operation.name


def _sent(operation: OperationModel, values: dict[str, Any], protocol: str) -> dict[str, Any]:
    """What of the values can be told on the wire: a form has no sign for an empty structure, REST has a body always."""
    if protocol in ("query", "ec2"):
        return {name: value for name, value in values.items() if value != {}}
    return {**_empty_body(operation.input_shape), **values}


def _empty_body(shape: Shape | None) -> dict[str, Any]:
    """What is read where there was no body, or an event had no payload."""
    for name, member in shape.members.items() if shape is not None else ():
        if shape.serialization.get("payload") == name or member.serialization.get("eventpayload"):
            blank: dict[str, Any] = {"blob": b"", "string": ""}
            if member.serialization.get("eventpayload"):
                blank["structure"] = {}
            return {name: blank[member.type_name]} if member.type_name in blank else {}
    return {}


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_the_protocol_is_told_from_the_request_alone(service: str, protocol: str) -> None:
    model = load(service)
    for operation in _operations(service)[:30]:
        request = samples.send(operation, protocol, _values(operation, operation.input_shape, False))
        found = select(request.headers, request.headers.get("content-type", ""), request.path, request.query)
        assert type(codec(model, found)) is type(codec(model, protocol)), operation.name
        if protocol == "json":
            assert codec(model, found).version == model.metadata["jsonVersion"]


@VARIANTS
@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_what_we_answer_is_what_botocore_reads(service: str, protocol: str, full: bool) -> None:
    chosen = codec(load(service), protocol)
    for operation in _operations(service):
        shape = operation.output_shape
        if operation.get_event_stream_output() is not None or operation.name in AMBIGUOUS:
            continue
        values = _values(operation, shape, full)
        found = _answered(chosen, operation, protocol, values)
        assert samples.comparable(found) == samples.comparable(_seen(operation, values, found)), operation.name


def _answered(chosen: Codec, operation: OperationModel, protocol: str, values: dict[str, Any]) -> dict[str, Any]:
    if protocol == "query" and operation.output_shape is not None:  # CloudWatch's model names few of its wrappers
        operation.output_shape.serialization.setdefault("resultWrapper", f"{operation.name}Result")
    found = samples.receive(operation, protocol, chosen.serialize(operation.name, values, "request-1"))
    metadata = found.pop("ResponseMetadata", {})  # botocore reads none from CBOR answers without an output
    if operation.output_shape is not None:
        assert metadata["RequestId"] == "request-1"
        assert metadata["HTTPStatusCode"] < 300
    return found


def _seen(operation: OperationModel, values: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What of the values HTTP lets through: no body on HEAD, and botocore's parser leaves S3's location to a handler."""
    shape = operation.output_shape
    if operation.name == "GetBucketLocation":
        return {}
    values = {**_empty_body(shape), **values}
    if shape is not None and found.get(shape.serialization.get("payload")) == {}:  # how botocore reads an empty body
        values.setdefault(shape.serialization["payload"], {})
    for name, member in shape.members.items() if shape is not None else ():
        location = member.serialization.get("location")
        if location == "statusCode":
            values = {**values, name: operation.http.get("responseCode", 200)}
        if location == "headers" and name in found:
            values = {**values, name: dict(values.get(name, {}))}
        if member.serialization.get("name", "").lower() == "content-type" and name in found:
            values.setdefault(name, "application/octet-stream")  # the body's, where the handler names none
    return values


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_required_output_members_are_there_even_when_the_handler_forgot_them(service: str, protocol: str) -> None:
    chosen = codec(load(service), protocol)
    for operation in _operations(service):
        shape = operation.output_shape
        if shape is None or operation.get_event_stream_output() is not None or operation.http["method"] == "HEAD":
            continue
        assert list(_absent(shape, _answered(chosen, operation, protocol, {}))) == [], operation.name


def _absent(shape: Shape, value: Any) -> Iterator[str]:
    for name in shape.required_members:
        member = shape.members[name]
        if getattr(member, "is_tagged_union", False):
            continue
        if name not in value:
            yield f"{shape.name}.{name}"
        elif member.type_name == "structure":
            yield from _absent(member, value[name])


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_every_error_that_an_operation_declares_is_what_botocore_reads(service: str, protocol: str) -> None:
    chosen = codec(load(service), protocol)
    seen = set()
    for operation in _operations(service):
        for shape in operation.error_shapes:
            if shape.name in seen or operation.http["method"] == "HEAD":
                continue
            seen.add(shape.name)
            members = {
                name: value for name, value in _values(operation, shape, True).items() if name.lower() != "message"
            }
            response = chosen.error(shape.name, "What <happened>.", fields=members, request_id="request-1")
            found = samples.receive(operation, protocol, response)
            assert found["Error"]["Code"] == shape.error_code, shape.name
            assert found["Error"]["Message"] == "What <happened>.", shape.name
            assert found["ResponseMetadata"]["RequestId"] == "request-1"
            assert response.status == shape.metadata.get("error", {}).get("httpStatusCode", 400), shape.name
            own = samples.receive(operation, protocol, response, shape)
            own = {name: value for name, value in own.items() if name in members}
            assert samples.comparable(own) == samples.comparable(members), shape.name


def _streams(service: str) -> list[OperationModel]:
    return [one for one in _operations(service) if one.get_event_stream_output() is not None]


@VARIANTS
@pytest.mark.parametrize(("service", "protocol"), STREAMING)
def test_every_event_of_a_stream_is_what_botocore_reads(service: str, protocol: str, full: bool) -> None:
    chosen = codec(load(service), protocol)
    assert _streams(service)
    for operation in _streams(service):
        shape, stream = operation.output_shape, operation.get_event_stream_output()
        name = shape.event_stream_name
        values = _values(operation, shape, full)
        values.pop(name, None)
        events = samples.events(stream, full=full)
        found = _answered(chosen, operation, protocol, {**values, name: iter(events)})
        events = [{kind: {**_empty_body(stream.members[kind]), **event[kind]}} for event in events for kind in event]
        assert samples.comparable(list(found.pop(name))) == samples.comparable(events), operation.name
        assert samples.comparable(found) == samples.comparable(values), operation.name


@pytest.mark.parametrize(("service", "protocol"), STREAMING)
def test_every_exception_of_a_stream_is_what_botocore_raises(service: str, protocol: str) -> None:
    chosen = codec(load(service), protocol)
    for operation in _streams(service):
        stream = operation.get_event_stream_output()
        for name, shape in stream.members.items():
            if shape.metadata.get("exception"):
                event = {name: {**_values(operation, shape, True), "message": "It broke.", "Message": "It broke."}}
                found = _answered(
                    chosen, operation, protocol, {operation.output_shape.event_stream_name: iter([event, event])}
                )
                with pytest.raises(EventStreamError, match="It broke") as caught:
                    list(found[operation.output_shape.event_stream_name])
                assert caught.value.response["Error"]["Code"] == name


def test_json_answers_have_the_requests_version() -> None:
    model = load("sagemaker")
    for version in ("1.0", "1.1"):
        kind = f"application/x-amz-json-{version}"
        found = select({"x-amz-target": "SageMaker.ListModels"}, kind, "/")
        assert codec(model, found).serialize("ListModels", {}, "1").headers["content-type"] == kind


def test_a_protocol_the_service_does_not_speak_is_refused() -> None:
    with pytest.raises(LookupError, match="sagemaker does not speak query; it speaks json"):
        codec(load("sagemaker"), "query")


def test_an_unknown_service_is_refused() -> None:
    for name in ("no-such-service", "../etc", ""):
        with pytest.raises(LookupError, match="botocore"):
            load(name)


def test_optional_members_that_are_absent_or_none_are_omitted() -> None:
    response = codec(load("logs"), "json").serialize(
        "DescribeLogGroups", {"logGroups": [], "nextToken": None, "x": 1}, "1"
    )
    assert response.body == b'{"logGroups":[]}'


def test_s3_tells_the_location_in_the_root_element() -> None:
    response = codec(load("s3"), "rest").serialize("GetBucketLocation", {"LocationConstraint": "eu-west-1"}, "1")
    assert isinstance(response.body, bytes)
    assert response.body.endswith(
        b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>'
    )


def test_a_ranged_answer_is_partial_content() -> None:
    chosen = codec(load("s3"), "rest")
    assert chosen.serialize("GetObject", {"Body": b"ab", "ContentRange": "bytes 0-1/9"}, "1").status == 206
    assert chosen.serialize("GetObject", {"Body": b"ab"}, "1").status == 200


def test_a_header_value_cannot_start_a_header() -> None:
    result = {"Body": b"", "CustomAttributes": "a\r\nset-cookie: b"}
    response = codec(load("sagemaker-runtime"), "rest").serialize("InvokeEndpoint", result, "1")
    assert response.headers["x-amzn-sagemaker-custom-attributes"] == "a set-cookie: b"


def test_line_ends_survive_xml() -> None:
    model = load("s3")
    result = {"Contents": [{"Key": "a\r\nb\t"}]}
    response = codec(model, "rest").serialize("ListObjectsV2", result, "1")
    found = samples.receive(model.operation_model("ListObjectsV2"), "rest-xml", response)
    assert found["Contents"] == [{"Key": "a\r\nb\t"}]
