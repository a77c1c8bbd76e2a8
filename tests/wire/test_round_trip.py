"""Every operation, both ways: botocore's serializer → our reader, our writer → botocore's parser."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.model import OperationModel, Shape

from kenja.wire import codec, load, select
from tests.wire import samples

# (service, protocol): the services, two more samples, and each protocol that a service has besides its first.
SPOKEN = [
    ("sagemaker", "json-1.1"),
    ("sagemaker-runtime", "rest-json"),
    ("s3", "rest-xml"),
    ("sts", "query"),
    ("iam", "query"),
    ("logs", "json-1.1"),
    ("cloudwatch", "json-1.0"),
    ("cloudwatch", "query"),
    ("comprehend", "json-1.1"),
    ("polly", "rest-json"),
]

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


def _operations(service: str) -> list[OperationModel]:
    model = load(service)
    return [model.operation_model(name) for name in model.operation_names]


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_what_botocore_sends_is_what_we_read(service: str, protocol: str) -> None:
    chosen = codec(load(service), protocol)
    for operation in _operations(service):
        values = samples.sample(operation.input_shape) if operation.input_shape is not None else {}
        request = samples.send(operation, protocol, values)
        routed = chosen.route(request)
        assert routed is not None, operation.name
        assert routed[0] == SAME_REQUEST.get(operation.name, operation.name)
        if operation.name in AMBIGUOUS:
            continue
        found = chosen.parse(operation.name, request, routed[1])
        assert samples.comparable(found) == samples.comparable(values), operation.name


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_the_protocol_is_told_from_the_request_alone(service: str, protocol: str) -> None:
    model = load(service)
    for operation in _operations(service)[:30]:
        values = samples.sample(operation.input_shape) if operation.input_shape is not None else {}
        request = samples.send(operation, protocol, values)
        headers = dict(request.headers)
        if protocol == "json-1.1":
            headers["content-type"] = "application/x-amz-json-1.1"
        found = select(headers, headers.get("content-type", ""), request.path, request.query)
        assert type(codec(model, found)) is type(codec(model, protocol)), operation.name
        assert codec(model, found).version == codec(model, protocol).version


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_what_we_answer_is_what_botocore_reads(service: str, protocol: str) -> None:
    chosen = codec(load(service), protocol)
    for operation in _operations(service):
        shape = operation.output_shape
        values: dict[str, Any] = samples.sample(shape) if shape is not None else {}
        sent = dict(values)
        stream = operation.get_event_stream_output()
        if stream is not None:
            values[shape.event_stream_name] = samples.events(stream)
            sent[shape.event_stream_name] = iter(values[shape.event_stream_name])
        if protocol == "query" and shape is not None:
            shape.serialization.setdefault("resultWrapper", f"{operation.name}Result")  # CloudWatch's model has few
        response = chosen.serialize(operation.name, sent, "request-1")
        found = samples.receive(operation, protocol, response)
        assert found.pop("ResponseMetadata")["RequestId"] == "request-1"
        if operation.name in AMBIGUOUS:
            continue
        if stream is not None:
            found[shape.event_stream_name] = list(found[shape.event_stream_name])
        assert samples.comparable(found) == samples.comparable(_seen(operation, values, response.status)), (
            operation.name
        )


def _seen(operation: OperationModel, values: dict[str, Any], status: int) -> dict[str, Any]:
    """What of the values HTTP lets through: no body on HEAD, and botocore's parser leaves S3's location to a handler."""
    shape = operation.output_shape
    if operation.name == "GetBucketLocation":
        return {}
    for name, member in shape.members.items() if shape is not None else ():
        if member.serialization.get("location") == "statusCode":
            values = {**values, name: status}
        if member.serialization.get("location") == "headers":
            values = {**values, name: dict(values[name])}
    return values


@pytest.mark.parametrize(("service", "protocol"), SPOKEN)
def test_required_output_members_are_there_even_when_the_handler_forgot_them(service: str, protocol: str) -> None:
    chosen = codec(load(service), protocol)
    for operation in _operations(service):
        shape = operation.output_shape
        if shape is None or operation.get_event_stream_output() is not None or operation.http["method"] == "HEAD":
            continue
        if protocol == "query":
            shape.serialization.setdefault("resultWrapper", f"{operation.name}Result")
        found = samples.receive(operation, protocol, chosen.serialize(operation.name, {}, "request-1"))
        assert list(_absent(shape, found)) == [], operation.name


def _absent(shape: Shape, value: Any) -> Any:
    for name in shape.required_members:
        member = shape.members[name]
        if getattr(member, "is_tagged_union", False):
            continue
        if name not in value:
            yield f"{shape.name}.{name}"
        elif member.type_name == "structure":
            yield from _absent(member, value[name])


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
