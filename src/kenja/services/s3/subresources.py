"""Configurations of buckets: one table says what there is, and its rows become the Put, Get, Delete and List operations.

A row is a member of AWS's model that is kept as it came and given back. What a configuration must be like is in
`subresource_checks`; the few that every write has to know are kept with the bucket itself (`hot`), the others apart.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.objects import BucketInfo
from kenja.services.s3 import acls
from kenja.services.s3 import subresource_checks as checks
from kenja.services.s3.service import guarded, service

MAX_CONFIGURATIONS = 1000  # of a kind with ids; Amazon S3 User Guide, Storage class analysis, Inventory, Metrics
PAGE = 100  # configurations of one page; S3 API Reference, ListBucketAnalyticsConfigurations
Check = Callable[[Context, BucketInfo, dict[str, Any]], dict[str, Any]]  # gives the document as it is kept
Absent = tuple[str, str]  # kind of error, message


@dataclass(frozen=True, slots=True)
class Subresource:
    """One kind of configuration. `absent` is the error, or the document, that a bucket without one answers with."""

    kind: str  # under which it is kept
    noun: str  # as the operations spell it: PutBucketCors, GetBucketCors, DeleteBucketCors
    member: str  # of the request
    absent: Absent | dict[str, Any]
    check: Check
    deletes: str = ""  # the operation, where it is not Delete and the noun; "-" where there is none
    hot: bool = False
    level: int = 2
    puts: bool = True
    extra: tuple[str, ...] = ()  # further members of the request that are kept in the document


ABSENT_ID = ("no_such_configuration", "The specified configuration does not exist.")
_ALL_BLOCKED = dict.fromkeys(acls.PUBLIC_BLOCK, True)
_AES256 = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]}

SINGLE = (
    Subresource("cors", "BucketCors", "CORSConfiguration",
                ("no_cors", "The CORS configuration does not exist"), checks.cors),
    Subresource("tagging", "BucketTagging", "Tagging",
                ("no_tags", "The TagSet does not exist"), checks.tagging),
    Subresource("policy", "BucketPolicy", "Policy",
                ("no_policy", "The bucket policy does not exist"), checks.policy, level=1),
    Subresource("lifecycle", "BucketLifecycleConfiguration", "LifecycleConfiguration",
                ("no_lifecycle", "The lifecycle configuration does not exist"), checks.lifecycle,
                deletes="DeleteBucketLifecycle", level=1, extra=("TransitionDefaultMinimumObjectSize",)),
    Subresource("encryption", "BucketEncryption", "ServerSideEncryptionConfiguration", _AES256, checks.encryption, hot=True,
                level=1),
    Subresource(acls.PUBLIC_ACCESS, "PublicAccessBlock", "PublicAccessBlockConfiguration",
                _ALL_BLOCKED, checks.public_access, hot=True),
    Subresource(acls.OWNERSHIP, "BucketOwnershipControls", "OwnershipControls",
                {"Rules": [{"ObjectOwnership": acls.ENFORCED}]}, checks.ownership, hot=True),
    Subresource("object_lock", "ObjectLockConfiguration", "ObjectLockConfiguration",
                ("no_object_lock", "Object Lock configuration does not exist for this bucket"),
                checks.object_lock, deletes="-", hot=True),
    Subresource("logging", "BucketLogging", "BucketLoggingStatus", {}, checks.logging, deletes="-", level=1),
    Subresource("website", "BucketWebsite", "WebsiteConfiguration",
                ("no_website", "The specified bucket does not have a website configuration"), checks.website, level=1),
    Subresource("accelerate", "BucketAccelerateConfiguration", "AccelerateConfiguration", {}, checks.accelerate,
                deletes="-", level=1),
    Subresource("payment", "BucketRequestPayment", "RequestPaymentConfiguration", {"Payer": "BucketOwner"},
                checks.payment, deletes="-", level=1),
    Subresource("replication", "BucketReplication", "ReplicationConfiguration",
                ("no_replication", "The replication configuration was not found"), checks.plain, puts=False, level=1),
)  # fmt: skip
MANY = ("Analytics", "IntelligentTiering", "Inventory", "Metrics")  # kinds of which a bucket has several, by id
_GONE = (acls.PUBLIC_ACCESS, acls.OWNERSHIP)  # kinds whose absence, once they are deleted, is not a new bucket's
_MISSING = {
    acls.PUBLIC_ACCESS: ("no_public_access", "The public access block configuration was not found"),
    acls.OWNERSHIP: ("no_ownership", "The bucket ownership controls were not found"),
}


def _put(row: Subresource) -> Callable[[Context, dict[str, Any]], dict[str, Any]]:
    def put(context: Context, request: dict[str, Any]) -> dict[str, Any]:
        name, store = request["Bucket"], context.kernel.objects
        given = request.get(row.member)
        if given is None:
            raise context.error("malformed", f"The body must be a {row.member}.")
        extra = {member: request[member] for member in row.extra if member in request}
        bucket = store.bucket(context.account, name)
        document = row.check(context, bucket, {"Policy": given} if isinstance(given, str) else given) | extra
        if row.hot:
            store.configure(context.account, name, lambda info: _with(info, row.kind, kept(row.kind, document)))
        else:
            store.documents.put(context.account, name, row.kind, document)
        return extra

    return put


def _get(row: Subresource) -> Callable[[Context, dict[str, Any]], dict[str, Any]]:
    payload = _payload(f"Get{row.noun}")

    def get(context: Context, request: dict[str, Any]) -> dict[str, Any]:
        document = found(context, request["Bucket"], row)
        return {payload: document} if payload and payload != "Policy" else document

    return get


def _delete(row: Subresource) -> Callable[[Context, dict[str, Any]], dict[str, Any]]:
    def delete(context: Context, request: dict[str, Any]) -> dict[str, Any]:
        name, store = request["Bucket"], context.kernel.objects
        if row.hot:
            store.configure(context.account, name, lambda info: _without(info, row.kind))
        else:
            store.documents.delete(context.account, name, row.kind)
        return {}

    return delete


def found(context: Context, bucket: str, row: Subresource) -> dict[str, Any]:
    """A bucket's configuration of a kind, or what it answers without one. Raises the kind's error."""
    store = context.kernel.objects
    if row.hot:
        settings = store.bucket(context.account, bucket).settings
        if row.kind in settings:
            if settings[row.kind] is None:
                raise context.error(*_MISSING[row.kind], BucketName=bucket)
            return shown(row.kind, settings[row.kind])
        document = None
    else:
        document = store.documents.get(context.account, bucket, row.kind)
    if document is None:
        if isinstance(row.absent, tuple):
            raise context.error(*row.absent, BucketName=bucket)
        return row.absent
    answer: dict[str, Any] = document
    return answer


def kept(kind: str, document: dict[str, Any]) -> Any:
    """A hot document as the settings have it: of ownership controls the one word that matters."""
    return document["Rules"][0]["ObjectOwnership"] if kind == acls.OWNERSHIP else document


def shown(kind: str, setting: Any) -> dict[str, Any]:
    """What `kept` was given."""
    document: dict[str, Any] = {"Rules": [{"ObjectOwnership": setting}]} if kind == acls.OWNERSHIP else setting
    return document


def _with(info: BucketInfo, kind: str, value: Any) -> BucketInfo:
    return replace(info, settings={**info.settings, kind: value})


def _without(info: BucketInfo, kind: str) -> BucketInfo:
    rest = {name: value for name, value in info.settings.items() if name != kind}
    return replace(info, settings={**rest, kind: None} if kind in _GONE else rest)


def _many(noun: str) -> Mapping[str, Callable[[Context, dict[str, Any]], dict[str, Any]]]:
    """The four operations of a kind of which a bucket has several."""
    member = f"{noun}Configuration"

    def put(context: Context, request: dict[str, Any]) -> dict[str, Any]:
        document = request[member]
        if document.get("Id") != request["Id"]:
            raise context.error("validation", f"The id of the request, {request['Id']}, is not that of the document.")
        store = context.kernel.objects.documents
        store.put(context.account, request["Bucket"], noun, document, id=request["Id"], most=MAX_CONFIGURATIONS)
        return {}

    def get(context: Context, request: dict[str, Any]) -> dict[str, Any]:
        document = context.kernel.objects.documents.get(context.account, request["Bucket"], noun, request["Id"])
        if document is None:
            raise context.error(*ABSENT_ID)
        return {member: document}

    def delete(context: Context, request: dict[str, Any]) -> dict[str, Any]:
        if not context.kernel.objects.documents.delete(context.account, request["Bucket"], noun, request["Id"]):
            raise context.error(*ABSENT_ID)
        return {}

    def listed(context: Context, request: dict[str, Any]) -> dict[str, Any]:
        token = request.get("ContinuationToken")
        after = "" if token is None else _unpacked(context, token)
        page = context.kernel.objects.documents.list(
            context.account, request["Bucket"], noun, after=after, limit=PAGE + 1
        )
        answer: dict[str, Any] = {
            "IsTruncated": len(page) > PAGE, f"{member}List": [document for _, document in page[:PAGE]],
        }  # fmt: skip
        if token is not None:
            answer["ContinuationToken"] = token
        if len(page) > PAGE:
            answer["NextContinuationToken"] = base64.urlsafe_b64encode(page[PAGE - 1][0].encode()).decode()
        return answer

    bucket = f"Bucket{member}"
    return {f"Put{bucket}": put, f"Get{bucket}": get, f"Delete{bucket}": delete, f"List{bucket}s": listed}


def _unpacked(context: Context, token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise context.error("validation", "The continuation token provided is incorrect") from None


def _payload(operation: str) -> str:
    """The member that a Get answers the whole document under; "" where the document's own members are the answer's."""
    shape = service.model.operation_model(operation).output_shape
    return str(shape.serialization.get("payload", "")) if shape is not None else ""


def _declare() -> None:
    """Serve the operations of the table."""
    for row in SINGLE:
        if row.puts:
            service.derived(f"Put{row.noun}", guarded(_put(row)), level=row.level)
        service.derived(f"Get{row.noun}", guarded(_get(row)), level=row.level)
        if row.deletes != "-":
            service.derived(row.deletes or f"Delete{row.noun}", guarded(_delete(row)), level=row.level)
    for noun in MANY:
        for name, handler in _many(noun).items():
            service.derived(name, guarded(handler), level=1)


_declare()
