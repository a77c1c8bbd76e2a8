"""Loading models, our patches to them, and that compiling is safe from several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from botocore.session import get_session

from kenja.wire import Codec, Request, codec, load
from kenja.wire.models import PATCHES, document, merge
from kenja.wire.protocols.json import JsonCodec

PATCHED = sorted(PATCHES.glob("*.json"))


@pytest.mark.parametrize("service", ["sagemaker", "s3", "logs"])
def test_a_model_has_what_botocores_own_loader_gives(service: str) -> None:
    ours, theirs = load(service), get_session().get_service_model(service)
    assert ours.operation_names == theirs.operation_names
    assert sorted(ours.shape_names) == sorted(theirs.shape_names)
    assert load(service) is ours


def test_other_files_of_a_service() -> None:
    assert "ListTrainingJobs" in document("sagemaker", "paginators-1")["pagination"]
    assert document("sts", "waiters-2") == {} or "waiters" in document("sts", "waiters-2")


@pytest.mark.parametrize("path", PATCHED, ids=[path.stem for path in PATCHED])
def test_a_patch_changes_only_what_is_there(path: Any) -> None:
    model, patch = document(path.stem, "service-2"), orjson.loads(path.read_bytes())
    assert set(patch) <= set(model)
    assert set(patch.get("shapes", {})) <= set(model["shapes"])
    assert set(patch.get("operations", {})) <= set(model["operations"])
    before = orjson.dumps(model)
    assert orjson.dumps(merge(model, patch)) != before


def test_s3_lists_have_the_root_element_that_aws_documents() -> None:
    response = codec(load("s3"), "rest").serialize("ListObjectsV2", {"KeyCount": 0}, "1")
    assert isinstance(response.body, bytes)
    assert b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><KeyCount>0</KeyCount>' in response.body


def test_merge_patch_removes_merges_and_replaces() -> None:
    assert merge({"a": 1, "b": {"c": 1, "d": 2}, "e": [1]}, {"a": None, "b": {"c": 3}, "e": [2], "f": {"g": None}}) == {
        "b": {"c": 3, "d": 2}, "e": [2], "f": {},
    }  # fmt: skip


def test_operations_compile_the_same_from_many_threads() -> None:
    chosen: Codec = JsonCodec(load("sagemaker"))
    body = b'{"Resource":"Model","SearchExpression":{"SubExpressions":[{"Filters":[{"Name":"a"}]}]}}'

    def read(_: int) -> dict[str, Any]:
        return chosen.parse("Search", Request("POST", "/", "", {}, body), {})

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, range(64)))
    assert all(one == orjson.loads(body) for one in found)


def test_sqs_is_still_spoken_as_query_with_its_old_names() -> None:
    chosen = codec(load("sqs"), "query")
    form = (
        b"Action=CreateQueue&QueueName=q&Attribute.1.Name=DelaySeconds&Attribute.1.Value=5"
        b"&Attribute.2.Name=FifoQueue&Attribute.2.Value=true&Tag.1.Key=k&Tag.1.Value=v"
    )
    request = Request("POST", "/", "", {}, form)
    assert chosen.route(request) == ("CreateQueue", {})
    assert chosen.parse("CreateQueue", request, {}) == {
        "QueueName": "q", "Attributes": {"DelaySeconds": "5", "FifoQueue": "true"}, "tags": {"k": "v"},
    }  # fmt: skip
    request = Request(
        "POST", "/", "", {}, b"Action=ReceiveMessage&QueueUrl=u&AttributeName.1=All&MessageAttributeName.1=a"
    )
    assert chosen.parse("ReceiveMessage", request, {}) == {
        "QueueUrl": "u", "AttributeNames": ["All"], "MessageAttributeNames": ["a"],
    }  # fmt: skip
    answer = chosen.serialize(
        "ReceiveMessage", {"Messages": [{"Body": "b", "Attributes": {"SenderId": "s"}}]}, "1"
    ).body
    assert isinstance(answer, bytes)
    expected = b"<Message><Body>b</Body><Attribute><Name>SenderId</Name><Value>s</Value></Attribute></Message>"
    assert b"<ReceiveMessageResult>" + expected + b"</ReceiveMessageResult>" in answer


def test_sqs_in_json_has_the_names_of_its_model() -> None:
    chosen = codec(load("sqs"), "json")
    request = Request("POST", "/", "", {}, b'{"QueueName":"q","Attributes":{"DelaySeconds":"5"},"tags":{"k":"v"}}')
    expected = {"QueueName": "q", "Attributes": {"DelaySeconds": "5"}, "tags": {"k": "v"}}
    assert chosen.parse("CreateQueue", request, {}) == expected
