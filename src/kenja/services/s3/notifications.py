"""Notifications of a bucket: their configuration, and the events that writes and deletes leave in the outbox of objects.

An event is written in the transaction of the change, once for EventBridge and once for each target whose events and
filter match; who delivers them is not known here. Amazon S3 User Guide, "Event message structure" and "Using EventBridge".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

from kenja.core import ids
from kenja.core.clock import utc
from kenja.kernel.context import PARTITION, Context
from kenja.kernel.objects import BucketInfo, Change
from kenja.kernel.resources.store import Scope
from kenja.services.s3.protection import canonical_id
from kenja.services.s3.service import operation

NOTIFICATION = "notification"  # among the settings of a bucket
SOURCE, MESSAGE = "aws.s3", "S3 Notification"  # what the outbox calls a message for one target
MAX_CONFIGURATIONS = 100  # Amazon S3 User Guide, Amazon S3 Event Notifications
_KINDS = {  # member of the configuration -> (member with the ARN, service in the ARN)
    "TopicConfigurations": ("TopicArn", "sns"),
    "QueueConfigurations": ("QueueArn", "sqs"),
    "LambdaFunctionConfigurations": ("LambdaFunctionArn", "lambda"),
}
_ARN = re.compile(r"arn:aws[a-z-]*:(sns|sqs|lambda):([a-z0-9-]+):(\d{12}):(.+)")
_CREATED = {  # operation -> (name of the event, reason in EventBridge's form)
    "PutObject": ("ObjectCreated:Put", "PutObject"),
    "CopyObject": ("ObjectCreated:Copy", "CopyObject"),
    "CompleteMultipartUpload": ("ObjectCreated:CompleteMultipartUpload", "CompleteMultipartUpload"),
}
_POSTED = ("ObjectCreated:Post", "POST Object")


@operation("PutBucketNotificationConfiguration", level=1)
def put_bucket_notification_configuration(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Replaces the configuration; an empty one turns notifications off. Every target gets a test event."""
    store = context.kernel.objects
    given = request.get("NotificationConfiguration") or {}
    document = _checked(context, given)

    def change(info: BucketInfo) -> BucketInfo:
        rest = {name: value for name, value in info.settings.items() if name != NOTIFICATION}
        return replace(info, settings={**rest, NOTIFICATION: document} if document else rest)

    with store.changing():
        bucket = store.configure(context.account, request["Bucket"], change)
        for target in {arn for _, arn, _ in _targets(document)}:
            _append(context, bucket, MESSAGE, [target], {
                "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": _time(context), "Bucket": bucket.name,
                "RequestId": context.request_id, "HostId": context.request_id,
            })  # fmt: skip
    return {}


@operation("GetBucketNotificationConfiguration", level=1)
def get_bucket_notification_configuration(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The configuration; an empty one where there is none."""
    bucket = context.kernel.objects.bucket(context.account, request["Bucket"])
    return dict(bucket.settings.get(NOTIFICATION, {}))


def announcer(context: Context) -> Callable[[Change], None]:
    """What the object store calls inside the transaction of each change that this call makes."""

    def announce(change: Change) -> None:
        document = change.bucket.settings.get(NOTIFICATION)
        if not document:
            return
        name, reason = _named(context, change)
        sequencer = (
            f"{int(context.kernel.clock.wall() * 1_000_000):016X}"  # microseconds; grows with each change of a key
        )
        if "EventBridgeConfiguration" in document:
            created = name.startswith("ObjectCreated")
            kind = "Object Created" if created else "Object Deleted"
            _append(context, change.bucket, kind, [], _bridged(context, change, reason, sequencer))
        for id, arn, configuration in _targets(document):
            if _wants(configuration, name, change.key):
                record = _record(context, change, name, id, sequencer)
                _append(context, change.bucket, MESSAGE, [arn], {"Records": [record]})

    return announce


def _named(context: Context, change: Change) -> tuple[str, str]:
    if change.created:
        posted = context.http is not None and context.http.method == "POST" and context.operation == "PutObject"
        return _POSTED if posted else _CREATED[context.operation]
    return "ObjectRemoved:DeleteMarkerCreated" if change.marker else "ObjectRemoved:Delete", "DeleteObject"


def _targets(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(id, ARN, configuration) of every target."""
    for member, (arn, _) in _KINDS.items():
        for configuration in document.get(member) or ():
            yield configuration["Id"], configuration[arn], configuration


def _wants(configuration: Mapping[str, Any], name: str, key: str) -> bool:
    """Whether a target's events and filter match an event."""
    events = (f"s3:{name}", f"s3:{name.partition(':')[0]}:*")
    if not any(event in events for event in configuration["Events"]):
        return False
    prefix, suffix = _filter(configuration)
    return key.startswith(prefix) and key.endswith(suffix)


def _filter(configuration: Mapping[str, Any]) -> tuple[str, str]:
    rules = ((configuration.get("Filter") or {}).get("Key") or {}).get("FilterRules") or ()
    found = {rule["Name"].lower(): rule.get("Value", "") for rule in rules}
    return found.get("prefix", ""), found.get("suffix", "")


def _checked(context: Context, given: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with an id for each target. Raises S3's errors."""
    document: dict[str, Any] = {}
    if "EventBridgeConfiguration" in given:
        document["EventBridgeConfiguration"] = {}
    for member, (arn, service) in _KINDS.items():
        if listed := given.get(member):
            document[member] = [{**one, "Id": one.get("Id") or ids.token(48)} for one in listed]
            for one in listed:
                _check_target(context, one, one[arn], service)
    targets = list(_targets(document))
    if len(targets) > MAX_CONFIGURATIONS:
        raise _argument(context, f"A bucket can have at most {MAX_CONFIGURATIONS} notification configurations.")
    names = [id for id, _, _ in targets]
    if len(set(names)) < len(names):
        raise _argument(context, "Same ID used for multiple configurations. IDs must be unique")
    _check_overlaps(context, [configuration for _, _, configuration in targets])
    return document


def _check_target(context: Context, configuration: Mapping[str, Any], arn: str, service: str) -> None:
    match = _ARN.fullmatch(arn)
    if match is None or match[1] != service:
        raise _argument(context, "The ARN could not be parsed", ArgumentName=arn, ArgumentValue=service)
    rules = ((configuration.get("Filter") or {}).get("Key") or {}).get("FilterRules") or ()
    names = [str(rule.get("Name", "")).lower() for rule in rules]
    if any(name not in ("prefix", "suffix") for name in names):
        raise _argument(context, "filter rule name must be either prefix or suffix")
    for name in ("prefix", "suffix"):
        if names.count(name) > 1:
            raise _argument(context, f"Cannot specify more than one {name} rule in a filter.")


def _check_overlaps(context: Context, configurations: list[Mapping[str, Any]]) -> None:
    """Two targets may have an event type in common only when their prefixes or their suffixes keep them apart."""
    for place, one in enumerate(configurations):
        for other in configurations[:place]:
            if _share_events(one["Events"], other["Events"]) and _meet(_filter(one), _filter(other)):
                message = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
                raise _argument(context, message)


def _share_events(one: list[str], other: list[str]) -> bool:
    def covers(pattern: str, event: str) -> bool:
        return pattern == event or (pattern.endswith(":*") and event.startswith(pattern[:-1]))

    return any(covers(a, b) or covers(b, a) for a in one for b in other)


def _meet(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether one key may have both prefixes and both suffixes."""
    prefixes = one[0].startswith(other[0]) or other[0].startswith(one[0])
    return prefixes and (one[1].endswith(other[1]) or other[1].endswith(one[1]))


def _argument(context: Context, message: str, **fields: str) -> Exception:
    return context.error("validation", message, **fields)


def _record(context: Context, change: Change, name: str, id: str, sequencer: str) -> dict[str, Any]:
    """One record of the message that a queue, topic or function gets."""
    described: dict[str, Any] = {"key": quote_plus(change.key, safe="/-_.*~")}
    if change.created:
        described |= {"size": change.size, "eTag": change.etag}
    elif change.marker:
        described |= {"eTag": "d41d8cd98f00b204e9800998ecf8427e"}  # of no bytes, as a delete marker has
    if change.version:
        described["versionId"] = change.version
    bucket = change.bucket
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "eventTime": _time(context),
        "eventName": name,
        "userIdentity": {"principalId": f"AWS:{context.principal.user_id}"},
        "requestParameters": {"sourceIPAddress": _client(context)},
        "responseElements": {"x-amz-request-id": context.request_id, "x-amz-id-2": context.request_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": canonical_id(bucket.account)},
                "arn": _arn(bucket),
            },
            "object": {**described, "sequencer": sequencer},
        },
    }


def _bridged(context: Context, change: Change, reason: str, sequencer: str) -> dict[str, Any]:
    """The detail of the event that EventBridge gets."""
    described: dict[str, Any] = {"key": change.key}
    if change.created:
        described |= {"size": change.size, "etag": change.etag}
    if change.version:
        described["version-id"] = change.version
    detail = {
        "version": "0",
        "bucket": {"name": change.bucket.name},
        "object": {**described, "sequencer": sequencer},
        "request-id": context.request_id,
        "requester": context.principal.account,
        "source-ip-address": _client(context),
        "reason": reason,
    }
    if not change.created:
        detail["deletion-type"] = "Delete Marker Created" if change.marker else "Permanently Deleted"
    return detail


def _append(context: Context, bucket: BucketInfo, kind: str, targets: list[str], detail: Mapping[str, Any]) -> None:
    scope = Scope(bucket.account, bucket.region)
    context.kernel.objects.outbox.append(scope, SOURCE, kind, [*targets, _arn(bucket)], detail)


def _time(context: Context) -> str:
    return f"{utc(context.kernel.clock.virtual()).strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3]}Z"


def _client(context: Context) -> str:
    return context.http.client if context.http is not None else ""


def _arn(bucket: BucketInfo) -> str:
    return f"arn:{PARTITION}:s3:::{bucket.name}"
