"""Whatever a client sends is read or Malformed, never another exception."""

from __future__ import annotations

import gzip
import json
import struct
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kenja.wire import Codec, Malformed, Request, codec, load, violations
from tests.wire import samples


def _json(operation: str, body: bytes, service: str = "sagemaker", **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return codec(load(service), "json").parse(operation, Request("POST", "/", "", named, body), {})


def _put(member: str, value: bytes) -> bytes:
    return b'{"' + member.encode() + b'":' + value + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nul",
        b"\xff\xfe",
        b'"text"',
        b"[]",
        b"7",
        b"null",
        b'{"TrainingJobName":NaN}',
        b'{"TrainingJobName":7}',
        b'{"TrainingJobName":["x"]}',
        b'{"TrainingJobName":{"a":1}}',
        b'{"TrainingJobName":true}',
        b'{"TrainingJobName":"\\ud800"}',
        b'{"EnableNetworkIsolation":"true"}',
        b'{"EnableNetworkIsolation":1}',
        b'{"Tags":{"Key":"a"}}',
        b'{"Tags":"a"}',
        b'{"Tags":["a"]}',
        b'{"HyperParameters":["a"]}',
        b'{"HyperParameters":{"a":1}}',
        b'{"ResourceConfig":{"InstanceCount":"1"}}',
        b'{"ResourceConfig":{"InstanceCount":1.5}}',
        b'{"ResourceConfig":{"InstanceCount":true}}',
        b'{"ResourceConfig":{"InstanceCount":99999999999}}',
        b'{"ResourceConfig":{"InstanceCount":1e400}}',
        b'{"ResourceConfig":{"InstanceCount":' + b"9" * 5000 + b"}}",
        b'{"VpcConfig":{"Subnets":[1]}}',
        b'{"VpcConfig":[[]]}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_wrong_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        _json("CreateTrainingJob", body)


def test_the_member_is_named() -> None:
    with pytest.raises(Malformed, match=r"Expected a whole number, found text\. \(at 'ResourceConfig.InstanceCount'\)"):
        _json("CreateTrainingJob", b'{"ResourceConfig":{"InstanceCount":"1"}}')


@pytest.mark.parametrize(
    "value", [b'"x"', b'"2026-13-01"', b"1e300", b"-1e300", b"true", b"[]", b"{}", b'"99999-01-01"', b'""']
)
def test_a_bad_timestamp_is_malformed(value: bytes) -> None:
    with pytest.raises(Malformed):
        _json("ListTrainingJobs", _put("CreationTimeAfter", value))


@pytest.mark.parametrize(
    "value", [b"1767225600", b"1767225600.0", b'"2026-01-01T00:00:00Z"', b'"Thu, 01 Jan 2026 00:00:00 GMT"']
)
def test_every_form_of_a_timestamp_is_read(value: bytes) -> None:
    found = _json("ListTrainingJobs", _put("CreationTimeAfter", value))["CreationTimeAfter"]
    assert found.isoformat() == "2026-01-01T00:00:00+00:00"


def test_bad_base64_is_malformed() -> None:
    model = load("comprehend")
    for value in (b'"*"', b'"YQ"', b'"YQ=\\u0000="', b'"\xc3\xa9"', b"7"):
        with pytest.raises(Malformed, match=r"base64|text"):
            codec(model, "json").parse("DetectEntities", Request("POST", "/", "", {}, _put("Bytes", value)), {})


def test_of_a_repeated_key_the_last_value_counts() -> None:
    assert _json("DescribeTrainingJob", b'{"TrainingJobName":"a","TrainingJobName":"b"}') == {"TrainingJobName": "b"}


def test_unknown_members_and_nulls_are_dropped() -> None:
    assert _json("DescribeTrainingJob", b'{"TrainingJobName":null,"Other":{"a":[1]}}') == {}


def test_nesting_is_bounded_where_the_model_does_not_bound_it() -> None:
    def nested(levels: int) -> bytes:
        return (
            b'{"Resource":"Model","SearchExpression":' + b'{"SubExpressions":[' * levels + b"{}" + b"]}" * levels + b"}"
        )

    assert _json("Search", nested(20))["Resource"] == "Model"
    for levels in (60, 300, 500, 5000):
        with pytest.raises(Malformed, match=r"deep|JSON"):
            _json("Search", nested(levels))


def test_gzip_is_undone_and_bounded() -> None:
    body = b'{"Namespace":"n","MetricData":[]}'
    read = codec(load("cloudwatch"), "json").parse
    request = Request("POST", "/", "", {"content-encoding": "gzip"}, gzip.compress(body))
    assert read("PutMetricData", request, {})["Namespace"] == "n"
    for broken in (b"x", gzip.compress(body)[:-4], gzip.compress(b" " * (65 * 1024 * 1024), 1)):
        with pytest.raises(Malformed, match="gzip"):
            read("PutMetricData", Request("POST", "/", "", {"content-encoding": "gzip"}, broken), {})


@pytest.mark.parametrize(
    "body",
    [
        b"<",
        b"<Tagging>",
        b"<Tagging></Other>",
        b"<Other/>",
        b"text",
        b"<Tagging>text</Tagging>",
        b"<Tagging><TagSet>text</TagSet></Tagging>",
        b"<Tagging><TagSet><Tag><Key><x/></Key></Tag></TagSet></Tagging>",
        b'<!DOCTYPE t [<!ENTITY a "b">]><Tagging>&a;</Tagging>',
        b'<!DOCTYPE t SYSTEM "file:///etc/passwd"><Tagging/>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE t []><Tagging/>'.encode("utf-16"),
        "<!DOCTYPE t []><Tagging/>".encode("utf-16-le"),
        "<!DOCTYPE t []><Tagging/>".encode("utf-32"),
        b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE t []><Tagging/>',
        b'<?xml version="1.0" encoding="none"?><Tagging>\xff</Tagging>',
        b"<Tagging>&undefined;</Tagging>",
        b"\xff\xff",
        b"<a>" * 50_000 + b"</a>" * 50_000,
        b"<Tagging>" + b"<a>" * 50_000 + b"</a>" * 50_000 + b"</Tagging>",
    ],
)
def test_wrong_xml_is_malformed(body: bytes) -> None:
    chosen = codec(load("s3"), "rest")
    with pytest.raises(Malformed):
        chosen.parse("PutBucketTagging", Request("PUT", "/b", "tagging", {}, body), {"Bucket": "b"})


@pytest.mark.parametrize(
    "form",
    [
        b"Action=GetRole&RoleName.x=1",
        b"Action=GetRole&RoleName=a&RoleName.b=c",
        b"Action=GetRole&RoleName.b=c&RoleName=a",
        b"Action=GetRole&RoleName=%ff",
        b"\xff",
        b"Action=GetRole&" + b"&".join(b"a%d=1" % number for number in range(30_000)),
    ],
)
def test_wrong_forms_are_malformed(form: bytes) -> None:
    with pytest.raises(Malformed):
        codec(load("iam"), "query").parse("GetRole", Request("POST", "/", "", {}, form), {})


@pytest.mark.parametrize("index", ["x", "-1", "1 ", "²", "9" * 5000, ""])
def test_wrong_list_numbers_are_malformed(index: str) -> None:
    request = Request("POST", "/", "", {}, f"Tags.member.{index}.Key=a".encode())
    with pytest.raises(Malformed):
        codec(load("iam"), "query").parse("TagRole", request, {})


def test_lists_of_a_form_are_in_numerical_order_and_may_have_gaps() -> None:
    form = "&".join(f"TagKeys.member.{number}=k{number}" for number in (10, 2, 7))
    found = codec(load("iam"), "query").parse("UntagRole", Request("POST", "/", "", {}, form.encode()), {})
    assert found == {"TagKeys": ["k2", "k7", "k10"]}


def test_a_dotted_name_without_end_is_harmless() -> None:
    form = ("a." * 100_000 + "b=1&" + "Tags." * 1000 + "=2").encode()
    with pytest.raises(Malformed):
        codec(load("iam"), "query").parse("TagRole", Request("POST", "/", "", {}, form + b"&Tags.x.y=1&Tags.x=1"), {})


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("partNumber=x&uploadId=u", {}),
        ("partNumber=1_0&uploadId=u", {}),
        ("partNumber=%EF%BC%91&uploadId=u", {}),
        ("partNumber=99999999999&uploadId=u", {}),
        ("partNumber=&uploadId=u", {}),
        ("partNumber=1&uploadId=u", {"content-length": "x"}),
    ],
)
def test_wrong_text_scalars_are_malformed(query: str, headers: dict[str, str]) -> None:
    chosen = codec(load("s3"), "rest")
    with pytest.raises(Malformed):
        chosen.parse("UploadPart", Request("PUT", "/b/k", query, headers, b""), {"Bucket": "b", "Key": "k"})


def _cbor(body: bytes) -> dict[str, Any]:
    return codec(load("cloudwatch"), "smithy-rpc-v2-cbor").parse(
        "PutMetricData", Request("POST", "/", "", {}, body), {}
    )


NAMESPACE = b"\xa1\x69Namespace"  # a map of one member; its value follows


@pytest.mark.parametrize(
    "body",
    [
        b"\x00",  # a number
        b"\x80",  # a list
        b"\x61a",  # text
        b"\xf6",  # null
        b"\xff",  # a break without a beginning
        b"\xa0\x00",  # data after the document
        b"\xbf",  # an open map without an end
        b"\xa1\x61a",  # a key without a value
        b"\xa1\x80\x00",  # a list as a key
        b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",  # a list of 2^63 items
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",  # 2^63 bytes
        b"\x81" * 100_000,
        NAMESPACE + b"\x07",  # a number for text
        NAMESPACE + b"\x41a",  # bytes for text
        NAMESPACE + b"\x62\xff\xff",  # text that is no UTF-8
        NAMESPACE + b"\xe0",  # a simple value that nobody has defined
        NAMESPACE + b"\xc1\x00",  # a moment for text
        NAMESPACE + b"\xc2\x41a",  # a large number
        NAMESPACE + b"\xd8\x23\x61(",  # a regular expression
        NAMESPACE + b"\xd8\x1c\x81\xd8\x1d\x00",  # a list that holds itself
        NAMESPACE + b"\xd9\x00\x1c\x80",  # the same tag in a longer form
        NAMESPACE + b"\xda\x00\x01\x00\x00\x60",  # a tag that nobody knows
    ],
)
def test_wrong_cbor_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        _cbor(body)


def test_cbor_of_every_form_is_read() -> None:
    assert (
        _cbor(b"")
        == _cbor(b"\xa0")
        == _cbor(b"\xbf\xff")
        == _cbor(NAMESPACE + b"\xf6")
        == _cbor(NAMESPACE + b"\xf7")
        == {}
    )
    assert _cbor(NAMESPACE + b"\x7f\x61a\x61b\xff") == {"Namespace": "ab"}
    data = NAMESPACE.replace(b"\xa1", b"\xa2") + b"\x61n\x6aMetricData\x81\xa3"
    entry = (
        b"\x65Value\xf9\x3e\x00\x69Timestamp\xc1\xfb"
        + struct.pack(">d", 1.5)
        + b"\x71StorageResolution\xfa\x41\xf0\x00\x00"
    )
    (found,) = _cbor(data + entry)["MetricData"]
    assert found == {"Value": 1.5, "Timestamp": datetime.fromtimestamp(1.5, UTC), "StorageResolution": 30}


# Fuzzing: a valid request of an operation, with one thing changed.

FUZZED = [
    ("sagemaker", "json", "CreateTrainingJob"),
    ("sagemaker", "json", "Search"),
    ("cloudwatch", "json", "PutMetricData"),
    ("cloudwatch", "query", "PutMetricAlarm"),
    ("iam", "query", "CreateRole"),
    ("s3", "rest-xml", "PutBucketLifecycleConfiguration"),
    ("s3", "rest-xml", "DeleteObjects"),
    ("polly", "rest-json", "SynthesizeSpeech"),
    ("cloudwatch", "smithy-rpc-v2-cbor", "PutMetricData"),
    ("ec2", "ec2", "RunInstances"),
]

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _read(chosen: Codec, operation: str, request: Request) -> None:
    try:
        routed = chosen.route(request)
        values = chosen.parse(operation, request, routed[1] if routed is not None else {})
    except Malformed as problem:
        _told(chosen, operation, str(problem))
        return
    for text in violations(chosen.model.operation_model(operation).input_shape, values):
        assert "failed to satisfy constraint" in text


def _told(chosen: Codec, operation: str, message: str) -> None:
    """The refusal, whatever it quotes, is an error document that botocore reads."""
    answer = chosen.error("SerializationException", message, status=400, request_id="r-1")
    protocol = chosen.__module__.rpartition(".")[2].replace("_", "-")
    error = samples.receive(chosen.model.operation_model(operation), protocol, answer)["Error"]
    assert (answer.status, error["Code"]) == (400, "SerializationException")
    assert error["Message"]


@cache
def _sampled(chosen: Codec, protocol: str, operation: str) -> Request:
    model = chosen.model.operation_model(operation)
    return samples.send(model, protocol, samples.sample(model.input_shape))


def _sample_request(chosen: Codec, protocol: str, operation: str) -> Request:
    made = _sampled(chosen, protocol, operation)
    return Request(made.method, made.path, made.query, dict(made.headers), made.body)


@pytest.mark.parametrize(("service", "protocol", "operation"), FUZZED)
@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=60))
def test_random_bodies_are_read_or_malformed(service: str, protocol: str, operation: str, body: bytes) -> None:
    chosen = codec(load(service), protocol)
    request = _sample_request(chosen, protocol, operation)
    _read(chosen, operation, Request(request.method, request.path, request.query, request.headers, body))


@pytest.mark.parametrize(("service", "protocol", "operation"), FUZZED)
def test_truncated_bodies_are_read_or_malformed(service: str, protocol: str, operation: str) -> None:
    chosen = codec(load(service), protocol)
    request = _sample_request(chosen, protocol, operation)
    body = request.content()
    for end in range(1, len(body), max(1, len(body) // 200)):
        _read(chosen, operation, Request(request.method, request.path, request.query, request.headers, body[:end]))
    if protocol not in ("query", "ec2") and body:  # a form that was cut short is a shorter form
        with pytest.raises(Malformed):
            chosen.parse(operation, Request(request.method, request.path, "", request.headers, body[:-1]), {})


@pytest.mark.parametrize(("service", "protocol", "operation"), FUZZED)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_changed_bytes_are_read_or_malformed(service: str, protocol: str, operation: str, data: st.DataObject) -> None:
    chosen = codec(load(service), protocol)
    request = _sample_request(chosen, protocol, operation)
    body = bytearray(request.content())
    start = data.draw(st.integers(0, max(0, len(body) - 1)))
    body[start : start + data.draw(st.integers(0, 9))] = data.draw(
        st.binary(max_size=9) | st.sampled_from([b"<", b'"', b"&", b"=", b"."])
    )
    request.query = data.draw(st.just(request.query) | st.text(max_size=9))
    request.headers.update(
        data.draw(st.dictionaries(st.sampled_from(sorted(request.headers)), st.text(max_size=9), max_size=2))
    )
    _read(chosen, operation, Request(request.method, request.path, request.query, request.headers, bytes(body)))


@pytest.mark.parametrize(("service", "protocol", "operation"), [case for case in FUZZED if "json" in case[1]])
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_changed_values_are_read_or_malformed(service: str, protocol: str, operation: str, data: st.DataObject) -> None:
    chosen = codec(load(service), protocol)
    request = _sample_request(chosen, protocol, operation)
    tree = orjson.loads(request.content())
    spots = list(_spots(tree))
    holder, key = spots[data.draw(st.integers(0, len(spots) - 1))]
    holder[key] = data.draw(JSON_VALUES)
    request.body = json.dumps(tree).encode()
    _read(chosen, operation, request)


def _spots(tree: Any) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _spots(value)


def test_a_large_body_is_read_in_linear_time() -> None:
    body = b'{"HyperParameters":{' + b",".join(b'"k%d":"v"' % number for number in range(100_000)) + b"}}"
    start = time.process_time()
    assert len(_json("CreateTrainingJob", body)["HyperParameters"]) == 100_000
    assert time.process_time() - start < 2
