"""Which operation a request means."""

from __future__ import annotations

import pytest
from botocore.model import ServiceModel

from kenja.wire import Malformed, Request, codec, load, resolve, select


def _s3(method: str, path: str, query: str = "", **headers: str) -> tuple[str, dict[str, str]] | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return codec(load("s3"), "rest").route(Request(method, path, query, named))


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/b/a", "a"),
        ("/b/a/", "a/"),
        ("/b//a", "/a"),
        ("/b///", "//"),
        ("/b/a//b", "a//b"),
        ("/b/a%2Fb", "a/b"),
        ("/b/%2Fa", "/a"),
        ("/b/a%252Fb", "a%2Fb"),
        ("/b/a+b%20c", "a+b c"),
        ("/b/%E8%B3%A2", "賢"),
        ("/b/..%2f../x", "../../x"),
        ("/b/a%0Ab", "a\nb"),
    ],
)
def test_s3_keys_are_taken_from_the_raw_path(path: str, key: str) -> None:
    assert _s3("GET", path) == ("GetObject", {"Bucket": "b", "Key": key})


@pytest.mark.parametrize(
    ("method", "path", "query", "operation"),
    [
        ("GET", "/", "", "ListBuckets"),
        ("GET", "/b", "", "ListObjects"),
        ("GET", "/b/", "", "ListObjects"),
        ("GET", "/b", "list-type=2&prefix=x", "ListObjectsV2"),
        ("GET", "/b", "list-type=1", "ListObjects"),
        ("GET", "/b/", "uploads", "ListMultipartUploads"),
        ("GET", "/b", "uploads=", "ListMultipartUploads"),
        ("GET", "/b", "versions", "ListObjectVersions"),
        ("GET", "/b", "analytics", "ListBucketAnalyticsConfigurations"),
        ("GET", "/b", "analytics&id=1", "GetBucketAnalyticsConfiguration"),
        ("GET", "/b", "lifecycle", "GetBucketLifecycleConfiguration"),
        ("PUT", "/b", "", "CreateBucket"),
        ("PUT", "/b", "lifecycle", "PutBucketLifecycleConfiguration"),
        ("PUT", "/b/k", "", "PutObject"),
        ("PUT", "/b/k", "tagging", "PutObjectTagging"),
        ("PUT", "/b/k", "partNumber=1&uploadId=u", "UploadPart"),
        ("GET", "/b/k", "uploadId=u", "ListParts"),
        ("DELETE", "/b/k", "uploadId=u", "AbortMultipartUpload"),
        ("DELETE", "/b/k", "versionId=1", "DeleteObject"),
        ("POST", "/b/k", "uploads", "CreateMultipartUpload"),
        ("POST", "/b/k", "uploadId=u", "CompleteMultipartUpload"),
        ("POST", "/b", "delete", "DeleteObjects"),
        ("POST", "/b/k", "select&select-type=2", "SelectObjectContent"),
        ("HEAD", "/b", "", "HeadBucket"),
        ("HEAD", "/b/k", "", "HeadObject"),
    ],
)
def test_s3_operations_are_told_apart_by_their_parameters(method: str, path: str, query: str, operation: str) -> None:
    found = _s3(method, path, query)
    assert found is not None
    assert found[0] == operation


def test_s3_copies_are_told_apart_by_a_header() -> None:
    copy = _s3("PUT", "/b/k", x_amz_copy_source="/b/other")
    part = _s3("PUT", "/b/k", "partNumber=1&uploadId=u", x_amz_copy_source="/b/other")
    assert copy is not None
    assert part is not None
    assert (copy[0], part[0]) == ("CopyObject", "UploadPartCopy")


def test_a_method_or_path_that_no_operation_has_is_no_route() -> None:
    assert _s3("PATCH", "/b/k") is None
    assert _s3("POST", "/b") is None
    assert codec(load("polly"), "rest").route(Request("GET", "/v1/none", "", {})) is None


def test_a_path_that_is_not_utf8_is_malformed() -> None:
    with pytest.raises(Malformed, match="UTF-8"):
        _s3("GET", "/b/%FF")
    with pytest.raises(Malformed, match="UTF-8"):
        _s3("GET", "/b", "prefix=%ff")


def test_a_missing_required_header_does_not_hide_the_operation() -> None:
    found = codec(load("sagemaker-runtime"), "rest").route(Request("POST", "/endpoints/e/async-invocations", "", {}))
    assert found == ("InvokeEndpointAsync", {"EndpointName": "e"})


def test_a_trailing_slash_matters_only_where_both_forms_exist() -> None:
    polly = codec(load("polly"), "rest")
    assert polly.route(Request("GET", "/v1/voices/", "", {})) == ("DescribeVoices", {})
    agents = codec(load("bedrock-agent"), "rest")
    prepare = agents.route(Request("POST", "/agents/a/", "", {}))
    assert prepare == ("PrepareAgent", {"agentId": "a"})


def test_two_operations_with_differently_named_labels_get_their_own() -> None:
    model = ServiceModel(
        {
            "metadata": {"protocol": "rest-json", "endpointPrefix": "x", "serviceId": "x"},
            "operations": {
                "One": {"name": "One", "http": {"method": "GET", "requestUri": "/a/{first}"}},
                "Two": {"name": "Two", "http": {"method": "GET", "requestUri": "/a/{second}?special"}},
                "Three": {"name": "Three", "http": {"method": "GET", "requestUri": "/a/fixed"}},
            },
            "shapes": {},
        },
        "x",
    )
    chosen = codec(model, "rest")
    assert chosen.route(Request("GET", "/a/1", "", {})) == ("One", {"first": "1"})
    assert chosen.route(Request("GET", "/a/1", "special=x", {})) == ("Two", {"second": "1"})
    assert chosen.route(Request("GET", "/a/fixed", "", {})) == ("Three", {})


def test_targets_and_actions_of_other_services_are_no_route() -> None:
    json = codec(load("sagemaker"), "json")
    assert json.route(Request("POST", "/", "", {"x-amz-target": "SageMaker.ListModels"})) == ("ListModels", {})
    assert json.route(Request("POST", "/", "", {"x-amz-target": "Other.ListModels"})) is None
    assert json.route(Request("POST", "/", "", {"x-amz-target": "SageMaker.NoSuch"})) is None
    assert json.route(Request("POST", "/", "", {})) is None
    query = codec(load("sts"), "query")
    assert query.route(Request("POST", "/", "", {}, b"Action=GetCallerIdentity&Version=2011-06-15")) == (
        "GetCallerIdentity",
        {},
    )
    assert query.route(Request("GET", "/", "Action=GetCallerIdentity", {})) == ("GetCallerIdentity", {})
    assert query.route(Request("POST", "/", "", {}, b"Action=ListRoles")) is None
    assert query.route(Request("POST", "/", "", {}, b"")) is None


def test_the_protocol_is_chosen_per_request() -> None:
    form = "application/x-www-form-urlencoded; charset=utf-8"
    assert select({"smithy-protocol": "rpc-v2-cbor"}, "application/cbor", "/") == "smithy-rpc-v2-cbor"
    assert select({}, "", "/service/Comprehend_20171127/operation/DetectSentiment") == "smithy-rpc-v2-cbor"
    assert select({"x-amz-target": "x"}, "application/x-amz-json-1.0; charset=utf-8", "/") == "json-1.0"
    assert select({"x-amz-target": "x"}, "application/json", "/") == "json"
    assert select({}, form, "/") == "query"
    assert select({}, "", "/", "Action=GetCallerIdentity") == "query"
    assert select({}, "", "/bucket", "Action=x") == "rest"


def test_marks_of_other_protocols_do_not_disturb_rest_services() -> None:
    assert resolve(load("s3"), "query") == "rest-xml"
    assert resolve(load("polly"), "rest") == "rest-json"
    assert resolve(load("sts"), "json") is None
    assert resolve(load("cloudwatch"), "query") == "query"
    assert resolve(load("cloudwatch"), "json-1.1") == "json-1.1"
