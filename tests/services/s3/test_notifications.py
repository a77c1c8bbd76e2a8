"""Notifications of buckets: their configuration through boto3, and the events that writes and deletes leave in the outbox."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kenja.core.config import Config
from kenja.kernel.events import delivery
from kenja.kernel.kernel import Kernel
from tests.conftest import serving
from tests.services.s3.forms import post

QUEUE = "arn:aws:sqs:us-east-1:000000000000:jobs"
TOPIC = "arn:aws:sns:us-east-1:000000000000:news"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:resize"
CREATED, REMOVED = "s3:ObjectCreated:*", "s3:ObjectRemoved:*"


def _filter(**rules: str) -> dict[str, Any]:
    return {"Key": {"FilterRules": [{"Name": name, "Value": value} for name, value in rules.items()]}}


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server whose reconciler stands still, so that its outbox keeps what is written."""
    with serving(tmp_path_factory.mktemp("held") / "data") as running:
        reconciler = running.children()["reconciler"]
        os.kill(reconciler, signal.SIGSTOP)
        try:
            yield running
        finally:
            os.kill(reconciler, signal.SIGCONT)


@pytest.fixture
def client(held: Any) -> Iterator[Any]:
    made = held.client("s3")
    yield made
    made.close()


@pytest.fixture
def outbox(held: Any) -> Iterator[Any]:
    """Events since the test began, taken out when they are asked for."""
    kernel = Kernel(Config(held.data))

    def take() -> list[Any]:
        events = kernel.objects.outbox.pending()
        kernel.objects.outbox.delivered([event.id for event in events])
        return events

    take()
    yield take
    kernel.close()


@pytest.fixture
def told(client: Any, outbox: Any) -> str:
    """A bucket that tells a queue of everything below `in/` that ends in `.csv`, and EventBridge of all."""
    name = f"told-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    queue = {
        "Id": "csv", "QueueArn": QUEUE, "Events": [CREATED, REMOVED], "Filter": _filter(prefix="in/", suffix=".csv"),
    }  # fmt: skip
    configuration = {"QueueConfigurations": [queue], "EventBridgeConfiguration": {}}
    client.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=configuration)
    (test,) = outbox()
    assert (test.source, test.detail_type, test.resources) == (
        "aws.s3",
        "S3 Notification",
        (QUEUE, f"arn:aws:s3:::{name}"),
    )
    assert (test.detail["Event"], test.detail["Bucket"]) == ("s3:TestEvent", name)
    return name


def test_put_object_tells_the_queue_and_event_bridge(client: Any, told: str, outbox: Any) -> None:
    etag = client.put_object(Bucket=told, Key="in/rows 1+2.csv", Body=b"a,b")["ETag"].strip('"')
    bridge, message = outbox()
    assert (bridge.source, bridge.detail_type, bridge.scope.region) == ("aws.s3", "Object Created", "us-east-1")
    detail = bridge.detail
    assert (detail["bucket"], detail["reason"], detail["version"]) == ({"name": told}, "PutObject", "0")
    described = {name: detail["object"][name] for name in ("key", "size", "etag")}
    assert described == {"key": "in/rows 1+2.csv", "size": 3, "etag": etag}
    assert detail["source-ip-address"] == "127.0.0.1"
    assert message.resources[0] == QUEUE
    (record,) = message.detail["Records"]
    assert (record["eventSource"], record["eventName"], record["awsRegion"]) == (
        "aws:s3",
        "ObjectCreated:Put",
        "us-east-1",
    )
    assert record["s3"]["configurationId"] == "csv"
    assert record["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{told}"
    assert record["s3"]["object"]["key"] == "in/rows+1%2B2.csv"  # as a form would have it, unlike EventBridge's
    assert record["s3"]["object"]["sequencer"] == detail["object"]["sequencer"]


def test_only_keys_that_pass_the_filter_reach_the_queue(client: Any, told: str, outbox: Any) -> None:
    for key in ("in/a.txt", "out/a.csv", "in/a.csv"):
        client.put_object(Bucket=told, Key=key, Body=b"")
    events = outbox()
    assert [event.detail_type for event in events].count("Object Created") == 3
    messages = [event for event in events if event.detail_type == "S3 Notification"]
    assert [event.detail["Records"][0]["s3"]["object"]["key"] for event in messages] == ["in/a.csv"]


def test_each_way_to_make_or_remove_an_object_has_its_name(client: Any, told: str, outbox: Any) -> None:
    client.put_object(Bucket=told, Key="in/a.csv", Body=b"1")
    client.copy_object(Bucket=told, Key="in/b.csv", CopySource=f"{told}/in/a.csv")
    upload = client.create_multipart_upload(Bucket=told, Key="in/c.csv")["UploadId"]
    part = client.upload_part(Bucket=told, Key="in/c.csv", UploadId=upload, PartNumber=1, Body=b"2")["ETag"]
    client.complete_multipart_upload(
        Bucket=told, Key="in/c.csv", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}
    )
    made = client.generate_presigned_post(told, "in/d.csv")
    assert post(made["url"], made["fields"]).status == 204
    client.delete_object(Bucket=told, Key="in/a.csv")
    client.delete_objects(Bucket=told, Delete={"Objects": [{"Key": "in/b.csv"}, {"Key": "in/never.csv"}]})
    client.put_bucket_versioning(Bucket=told, VersioningConfiguration={"Status": "Enabled"})
    marker = client.delete_object(Bucket=told, Key="in/c.csv")["VersionId"]
    client.delete_object(Bucket=told, Key="in/c.csv", VersionId=marker)
    events = outbox()
    records = [event.detail["Records"][0] for event in events if event.detail_type == "S3 Notification"]
    assert [record["eventName"] for record in records] == [
        "ObjectCreated:Put", "ObjectCreated:Copy", "ObjectCreated:CompleteMultipartUpload", "ObjectCreated:Post",
        "ObjectRemoved:Delete", "ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "ObjectRemoved:Delete",
    ]  # fmt: skip
    assert records[6]["s3"]["object"]["versionId"] == marker
    deleted = [event.detail for event in events if event.detail_type == "Object Deleted"]
    kinds = [detail["deletion-type"] for detail in deleted]
    assert kinds == [*["Permanently Deleted"] * 2, "Delete Marker Created", "Permanently Deleted"]
    sequence = [event.detail["object"]["sequencer"] for event in events if "object" in event.detail]
    assert sequence == sorted(sequence)


def test_a_write_that_is_refused_tells_nobody(client: Any, told: str, outbox: Any, refused: Any) -> None:
    client.put_object(Bucket=told, Key="in/a.csv", Body=b"1")
    outbox()
    with refused("PreconditionFailed", 412):
        client.put_object(Bucket=told, Key="in/a.csv", Body=b"2", IfNoneMatch="*")
    assert outbox() == []


def test_get_bucket_notification_configuration_gives_what_was_put_until_it_is_emptied(client: Any, outbox: Any) -> None:
    name = f"told-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    configuration = {
        "TopicConfigurations": [{"TopicArn": TOPIC, "Events": ["s3:ObjectCreated:Put"]}],
        "LambdaFunctionConfigurations": [
            {
                "Id": "f",
                "LambdaFunctionArn": FUNCTION,
                "Events": ["s3:ObjectCreated:Copy"],
                "Filter": _filter(Prefix="a"),
            }
        ],
    }
    client.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=configuration)
    found = client.get_bucket_notification_configuration(Bucket=name)
    (topic,) = found["TopicConfigurations"]
    assert topic.pop("Id")
    assert topic == configuration["TopicConfigurations"][0]
    assert found["LambdaFunctionConfigurations"] == configuration["LambdaFunctionConfigurations"]
    assert {event.resources[0] for event in outbox()} == {TOPIC, FUNCTION}
    client.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={})
    assert "TopicConfigurations" not in client.get_bucket_notification_configuration(Bucket=name)
    client.put_object(Bucket=name, Key="a", Body=b"")
    assert outbox() == []


def _queue(**members: Any) -> dict[str, Any]:
    return {"QueueArn": QUEUE, "Events": [CREATED], **members}


@pytest.mark.parametrize(
    ("queues", "sentence"),
    [
        ([_queue(QueueArn="jobs")], "could not be parsed"),
        ([_queue(QueueArn=TOPIC)], "could not be parsed"),
        ([_queue(Filter=_filter(infix="x"))], "prefix or suffix"),
        ([_queue(Filter={"Key": {"FilterRules": [{"Name": "prefix", "Value": "a"}] * 2}})], "more than one prefix"),
        ([_queue(Id="a"), _queue(Id="b", Events=["s3:ObjectCreated:Put"])], "overlap"),
        ([_queue(Id="a", Filter=_filter(prefix="x")), _queue(Id="b", Filter=_filter(prefix="xy"))], "overlap"),
        ([_queue(Id="a"), _queue(Id="a", Events=[REMOVED])], "unique"),
    ],
)
def test_put_bucket_notification_configuration_refuses_what_makes_no_sense(
    s3: Any, bucket: str, refused: Any, queues: list[Any], sentence: str
) -> None:
    with refused("InvalidArgument", 400) as error:
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": queues}
        )
    assert sentence in error["Error"]["Message"]


def test_put_bucket_notification_configuration_refuses_events_that_are_none(s3: Any, bucket: str, refused: Any) -> None:
    with refused("MalformedXML", 400):
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [_queue(Events=["s3:ObjectRead"])]}
        )


def test_targets_with_prefixes_apart_may_share_an_event(s3: Any, bucket: str) -> None:
    queues = [_queue(Id="a", Filter=_filter(prefix="x")), _queue(Id="b", Filter=_filter(prefix="y"))]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": queues})
    assert len(s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]) == 2


def test_the_outbox_of_objects_is_delivered_with_the_other_one(tmp_path: Path) -> None:
    from kenja.kernel.resources.store import Scope

    kernel = Kernel(Config(tmp_path))
    kernel.objects.outbox.append(Scope("1", "r"), "aws.s3", "Object Created", [], {})
    kernel.outbox.append(Scope("1", "r"), "aws.sagemaker", "State Change", [], {})
    assert delivery.step(kernel) == 2
    assert delivery.step(kernel) == 0
    kernel.close()
