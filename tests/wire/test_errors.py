"""Errors of each protocol, as botocore's parsers read them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from kenja.wire import codec, load
from tests.wire import samples


def test_a_modelled_json_error_keeps_the_models_spelling_and_status() -> None:
    model = load("sagemaker")
    response = codec(model, "json").error("ResourceNotFound", "No such job.", request_id="r-1")
    assert response.body == b'{"__type":"ResourceNotFound","Message":"No such job."}'
    found = samples.receive(model.operation_model("DescribeTrainingJob"), "json", response)
    assert found["Error"] == {"Code": "ResourceNotFound", "Message": "No such job."}
    assert found["ResponseMetadata"]["RequestId"] == "r-1"
    assert response.status == 400


def test_an_unlisted_code_is_the_callers_fault_unless_a_status_is_given() -> None:
    chosen = codec(load("sagemaker"), "json")
    response = chosen.error("ValidationException", "Bad.", request_id="r")
    assert (response.status, response.body) == (400, b'{"__type":"ValidationException","message":"Bad."}')
    assert chosen.error("InternalFailure", "Our bug.", status=500).status == 500


def test_a_fault_has_status_500() -> None:
    assert codec(load("logs"), "json").error("ServiceUnavailableException", "Later.").status == 500
    assert codec(load("sagemaker-runtime"), "rest").error("ServiceUnavailable", "Later.").status == 503


def test_rest_json_names_the_code_in_a_header_and_carries_members() -> None:
    model = load("sagemaker-runtime")
    response = codec(model, "rest").error(
        "ModelError", "It raised.", fields={"OriginalStatusCode": 500, "OriginalMessage": "x"}
    )
    assert response.headers["x-amzn-errortype"] == "ModelError"
    operation = model.operation_model("InvokeEndpoint")
    assert samples.receive(operation, "rest-json", response)["Error"] == {"Code": "ModelError", "Message": "It raised."}
    shape = model.shape_for("ModelError")
    members = samples.receive(operation, "rest-json", response, shape)
    assert members == {"Message": "It raised.", "OriginalStatusCode": 500, "OriginalMessage": "x"}
    assert response.status == 424


def test_query_wraps_the_error_and_uses_its_wire_code() -> None:
    model = load("iam")
    response = codec(model, "query").error("NoSuchEntityException", "No role <x> & co.", request_id="r-2")
    found = samples.receive(model.operation_model("GetRole"), "query", response)
    assert found["Error"] == {"Type": "Sender", "Code": "NoSuchEntity", "Message": "No role <x> & co."}
    assert found["ResponseMetadata"]["RequestId"] == "r-2"
    assert response.status == 404


def test_query_compatible_services_tell_the_old_code_in_a_header() -> None:
    model = load("cloudwatch")
    response = codec(model, "json-1.0").error("ResourceNotFound", "No alarm.", request_id="r")
    assert response.headers["x-amzn-query-error"] == "ResourceNotFound;Sender"
    fault = codec(model, "json-1.0").error("InternalServiceFault", "x")
    assert fault.headers["x-amzn-query-error"] == "InternalServiceError;Receiver"
    found = samples.receive(model.operation_model("DescribeAlarms"), "json", fault)
    assert found["Error"]["Code"] == "InternalServiceError"
    assert found["Error"]["QueryErrorCode"] == "InternalServiceFault"


def test_s3_errors_have_no_wrapper_but_details_and_both_ids() -> None:
    model = load("s3")
    response = codec(model, "rest").error(
        "NoSuchKey", "The key does not exist.", fields={"Key": "a<b", "Resource": "/x"}, status=404, request_id="r-3"
    )
    assert isinstance(response.body, bytes)
    assert b"<Error><Code>NoSuchKey</Code>" in response.body
    assert b"<RequestId>r-3</RequestId><HostId>" in response.body
    found = samples.receive(model.operation_model("GetObject"), "rest-xml", response)
    assert found["Error"] == {
        "Code": "NoSuchKey", "Message": "The key does not exist.", "Key": "a<b", "Resource": "/x"
    }  # fmt: skip
    assert found["ResponseMetadata"]["RequestId"] == "r-3"
    assert found["ResponseMetadata"]["HostId"]


def test_an_answer_to_head_has_no_body() -> None:
    response = codec(load("s3"), "rest").error("NoSuchKey", "x", status=404, request_id="r", method="HEAD")
    assert (response.status, response.body) == (404, b"")
    assert response.headers["x-amz-request-id"] == "r"


@pytest.mark.parametrize(("service", "protocol"), [("sagemaker", "json"), ("polly", "rest-json"), ("iam", "query")])
def test_every_modelled_error_is_read_back(service: str, protocol: str) -> None:
    model = load(service)
    chosen, operation = codec(model, protocol), model.operation_model(model.operation_names[0])
    for shape in model.error_shapes:
        response = chosen.error(shape.name, "What happened.")
        found = samples.receive(operation, protocol, response)
        assert found["Error"]["Code"] == shape.error_code
        assert found["Error"]["Message"] == "What happened."
        assert response.status == shape.metadata.get("error", {}).get("httpStatusCode", 400)


@pytest.mark.parametrize(("service", "protocol"), [("iam", "query"), ("s3", "rest-xml")])
def test_an_error_that_quotes_control_characters_stays_well_formed(service: str, protocol: str) -> None:
    answer = codec(load(service), protocol).error(
        "ValidationError", "Value '\0\x1b\ufffe' is bad", fields={"Key": "a\x01b"}
    )
    assert isinstance(answer.body, bytes)
    text = "".join(ET.fromstring(answer.body).itertext())
    assert "Value '\ufffd\ufffd\ufffd' is bad" in text
