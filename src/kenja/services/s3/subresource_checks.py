"""What configurations of buckets must be like, beyond what AWS's model says of their types; one function a kind.

Each takes the configuration as it came, gives it as it is kept, and raises S3's errors. Sources: S3 API Reference, the
page of each Put operation; Amazon S3 User Guide, the chapter of each feature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from kenja.core import ids
from kenja.kernel.context import PARTITION, Context
from kenja.kernel.objects import ENABLED, BucketInfo
from kenja.kernel.objects.errors import Refusal
from kenja.services.s3 import acls

Document = dict[str, Any]

MAX_CORS_RULES = 100
MAX_RETENTION = 36_500  # days, and years not to be reached by them; S3 User Guide, Object Lock: 100 years
MAX_TAGS = 50  # of a bucket; S3 API Reference, PutBucketTagging
MAX_LIFECYCLE_RULES = 1000
MAX_POLICY = 20 * 1024  # bytes; Amazon S3 User Guide, Bucket policies
MAX_RULE_ID = 255  # characters
METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")
_ACTIONS = (
    "Expiration", "Transitions", "NoncurrentVersionTransitions", "NoncurrentVersionExpiration",
    "AbortIncompleteMultipartUpload",
)  # fmt: skip
_DAY = 24 * 60 * 60  # seconds


def plain(_context: Context, _bucket: BucketInfo, document: Document) -> Document:
    """Whatever the model allows."""
    return document


def cors(context: Context, _bucket: BucketInfo, document: Document) -> Document:
    """Rules of known methods, with at most one wildcard in an origin or header."""
    rules = document.get("CORSRules") or []
    if not 1 <= len(rules) <= MAX_CORS_RULES:
        raise context.error("malformed", f"A CORSConfiguration has from 1 to {MAX_CORS_RULES} rules, not {len(rules)}.")
    for rule in rules:
        if not rule.get("AllowedMethods") or not rule.get("AllowedOrigins"):
            raise context.error("malformed", "A CORSRule must have at least one AllowedMethod and one AllowedOrigin.")
        for method in rule["AllowedMethods"]:
            if method not in METHODS:
                message = f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
                raise context.error("bad_request", message)
        _wildcards(context, rule)
    return document


def _wildcards(context: Context, rule: Mapping[str, Any]) -> None:
    for member in ("AllowedOrigins", "AllowedHeaders"):
        for value in rule.get(member) or ():
            if value.count("*") > 1:
                raise context.error("bad_request", f'{member[:-1]} "{value}" can not have more than one wildcard.')
    for value in rule.get("ExposeHeaders") or ():
        if "*" in value:
            message = (
                f'ExposeHeader "{value}" contains wildcard. We currently do not support wildcard for ExposeHeader.'
            )
            raise context.error("bad_request", message)


def tagging(context: Context, _bucket: BucketInfo, document: Document) -> Document:
    """Distinct keys of allowed lengths; none of AWS's own."""
    tags = document.get("TagSet") or []
    if len(tags) > MAX_TAGS:
        raise context.error("bad_request_tags", f"Bucket tag count cannot be greater than {MAX_TAGS}")
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) < len(keys):
        raise context.error("tag", "Cannot provide multiple Tags with the same key")
    for tag in tags:
        if not 1 <= len(tag["Key"]) <= 128:
            raise context.error("tag", "The TagKey you have provided is invalid", TagKey=tag["Key"])
        if len(tag["Value"]) > 256:
            raise context.error(
                "tag", "The TagValue you have provided is invalid", TagKey=tag["Key"], TagValue=tag["Value"]
            )
        if tag["Key"].lower().startswith("aws:"):
            raise context.error("tag", "System tags cannot be added/updated by requester", TagKey=tag["Key"])
    return document


def policy(context: Context, bucket: BucketInfo, document: Document) -> Document:
    """A policy of statements about this bucket. What they allow and deny is not evaluated yet."""
    text: str = document["Policy"]
    if len(text.encode()) > MAX_POLICY:
        raise context.error("policy", f"Policy exceeds the maximum allowed size of {MAX_POLICY} bytes")
    try:
        parsed = orjson.loads(text)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise context.error("policy", "Policies must be valid JSON and the first byte must be '{'")
    for statement in statements(parsed):
        _statement(context, bucket, statement)
    if not statements(parsed):
        raise context.error("policy", "Missing required field Statement")
    if public(parsed) and (acls.public_block(bucket) or {}).get("BlockPublicPolicy"):
        message = "Access Denied: the bucket's public access block has BlockPublicPolicy, and this policy is public."
        raise context.error("denied", message)
    return document


def statements(parsed: Mapping[str, Any]) -> list[Any]:
    """The statements of a policy, which may have a single one without a list."""
    found = parsed.get("Statement")
    return found if isinstance(found, list) else [] if found is None else [found]


def public(parsed: Mapping[str, Any]) -> bool:
    """Whether a policy lets everybody do something. S3 User Guide, "The meaning of public": a condition on fixed values
    would make it private; here any condition does not, so that nothing public passes for private.
    """
    return any(
        isinstance(statement, dict) and statement.get("Effect") == "Allow" and _everybody(statement.get("Principal"))
        for statement in statements(parsed)
    )


def _everybody(principal: Any) -> bool:
    if isinstance(principal, dict):
        principal = principal.get("AWS")
    return "*" in (principal if isinstance(principal, list) else [principal])


def _statement(context: Context, bucket: BucketInfo, statement: Any) -> None:
    if not isinstance(statement, dict):
        raise context.error("policy", "Invalid policy syntax.")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise context.error("policy", f"Invalid effect: {statement.get('Effect')}; it must be Allow or Deny")
    for name, other in (("Principal", "NotPrincipal"), ("Action", "NotAction"), ("Resource", "NotResource")):
        if (name in statement) == (other in statement):
            raise context.error(
                "policy", f"Missing required field {name}" if name not in statement else "Invalid policy syntax."
            )
    for resource in _texts(context, statement.get("Resource", statement.get("NotResource"))):
        arn = f"arn:{PARTITION}:s3:::{bucket.name}"
        if resource != arn and not resource.startswith(f"{arn}/") and not _covers(resource, arn):
            raise context.error("policy", "Policy has invalid resource", Detail=resource)
    for action in _texts(context, statement.get("Action", statement.get("NotAction"))):
        if action != "*" and not action.lower().startswith("s3:"):
            raise context.error("policy", "Policy has invalid action", Detail=action)


def _covers(pattern: str, arn: str) -> bool:
    """Whether a resource with wildcards could mean the bucket or its objects."""
    expression = "".join(
        ".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern)
    )
    return re.fullmatch(expression, arn) is not None or re.fullmatch(expression, f"{arn}/key") is not None


def _texts(context: Context, value: Any) -> Sequence[str]:
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(item, str) for item in found):
        raise context.error("policy", "Invalid policy syntax.")
    return found


def lifecycle(context: Context, _bucket: BucketInfo, document: Document) -> Document:
    """Rules with an id each, a filter and something to do."""
    rules = document.get("Rules") or []
    if not 1 <= len(rules) <= MAX_LIFECYCLE_RULES:
        raise context.error(
            "malformed", f"A LifecycleConfiguration has from 1 to {MAX_LIFECYCLE_RULES} rules, not {len(rules)}."
        )
    kept = []
    seen: set[str] = set()
    for given in rules:
        rule = {**given, "ID": given.get("ID") or ids.token(48)}
        if len(rule["ID"]) > MAX_RULE_ID:
            raise context.error("validation", f"ID length should not exceed allowed limit of {MAX_RULE_ID}")
        if rule["ID"] in seen:
            raise context.error("validation", "Rule ID must be unique. Found same ID for more than one rule")
        seen.add(rule["ID"])
        if "Filter" not in rule and "Prefix" not in rule:
            raise context.error("malformed", "A Rule must have a Filter or a Prefix.")
        if not any(rule.get(action) for action in _ACTIONS):
            raise context.error("bad_request", "At least one action needs to be specified in a rule")
        _expiration(context, rule.get("Expiration") or {})
        for member, days in (
            ("NoncurrentVersionExpiration", "NoncurrentDays"),
            ("AbortIncompleteMultipartUpload", "DaysAfterInitiation"),
        ):
            if member in rule and (rule[member].get(days) or 0) < 1:
                raise context.error("validation", f"'{days}' for {member} action must be a positive integer")
        for transition in rule.get("Transitions") or ():
            _date_or_days(context, transition, "Transition", least=0)
        kept.append(rule)
    return {**document, "Rules": kept}


def _expiration(context: Context, expiration: Mapping[str, Any]) -> None:
    if not expiration:
        return
    if "ExpiredObjectDeleteMarker" in expiration and len(expiration) == 1:
        return
    if "ExpiredObjectDeleteMarker" in expiration:
        raise context.error("malformed", "ExpiredObjectDeleteMarker does not go with Days or Date.")
    _date_or_days(context, expiration, "Expiration", least=1)


def _date_or_days(context: Context, action: Mapping[str, Any], name: str, *, least: int) -> None:
    if ("Days" in action) == ("Date" in action):
        raise context.error("malformed", f"A {name} must have either Days or Date.")
    if "Days" in action and action["Days"] < least:
        kind = "positive" if least else "nonnegative"
        raise context.error("validation", f"'Days' for {name} action must be a {kind} integer")
    date = action.get("Date")
    if isinstance(date, datetime) and date.astimezone(UTC).timestamp() % _DAY:
        raise context.error("validation", "'Date' must be at midnight GMT")


def encryption(context: Context, _bucket: BucketInfo, document: Document) -> Document:
    """One rule; a key only where keys are used."""
    rules = document.get("Rules") or []
    if len(rules) != 1:
        raise context.error("malformed", f"A ServerSideEncryptionConfiguration has one rule, not {len(rules)}.")
    default = rules[0].get("ApplyServerSideEncryptionByDefault") or {}
    if default.get("SSEAlgorithm") == "AES256" and default.get("KMSMasterKeyID"):
        message = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
        raise context.error("validation", message)
    return document


def public_access(_context: Context, _bucket: BucketInfo, document: Document) -> Document:
    """Four switches; one that is left out is off."""
    return {name: bool(document.get(name)) for name in acls.PUBLIC_BLOCK}


def ownership(context: Context, bucket: BucketInfo, document: Document) -> Document:
    """One rule; access control lists can not be disabled while the bucket's own opens it to others."""
    rules = document.get("Rules") or []
    if len(rules) != 1:
        raise context.error("malformed", f"OwnershipControls have one rule, not {len(rules)}.")
    stored = bucket.settings.get(acls.ACL)
    if rules[0]["ObjectOwnership"] == acls.ENFORCED and stored and stored != acls.grants_of(bucket.account, None):
        message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        raise context.error("acl_with_ownership", message)
    return document


def object_lock(context: Context, bucket: BucketInfo, document: Document) -> Document:
    """Enabled, in a bucket with versions, with a default retention in days or in years or without one."""
    if bucket.versioning != ENABLED:
        message = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        raise context.error("bucket_state", message)
    retention = (document.get("Rule") or {}).get("DefaultRetention")
    if document.get("ObjectLockEnabled") != "Enabled" or ("Rule" in document and not retention):
        raise context.error("malformed", "An ObjectLockConfiguration is Enabled; its Rule has a DefaultRetention.")
    if retention and ("Mode" not in retention or ("Days" in retention) == ("Years" in retention)):
        raise context.error("malformed", "A DefaultRetention has a Mode, and either Days or Years.")
    if retention and not 0 < retention.get("Days", retention.get("Years")) <= MAX_RETENTION:
        raise context.error("validation", "Default retention period must be a positive integer value.")
    return document


def logging(context: Context, bucket: BucketInfo, document: Document) -> Document:
    """A target bucket of the same account and region, or nothing at all."""
    enabled = document.get("LoggingEnabled")
    if not enabled:
        return {}
    try:
        target = context.kernel.objects.bucket(context.account, enabled["TargetBucket"])
    except Refusal:
        message = "The target bucket for logging does not exist, is not owned by you, or does not have the appropriate grants."
        raise context.error("logging_target", message, TargetBucket=enabled["TargetBucket"]) from None
    if target.region != bucket.region:
        message = "The target bucket for logging must be in the region of the bucket whose requests are logged."
        raise context.error("logging_region", message, TargetBucket=target.name)
    return document


def website(context: Context, _bucket: BucketInfo, document: Document) -> Document:
    """An index document, or the redirection of all requests and nothing else."""
    redirect, index = document.get("RedirectAllRequestsTo"), document.get("IndexDocument")
    if redirect is not None and len(document) > 1:
        message = "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules."
        raise context.error("bad_request", message)
    if redirect is None and index is None:
        raise context.error(
            "validation", "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
            ArgumentName="IndexDocument", ArgumentValue="null",
        )  # fmt: skip
    if index is not None and (not index.get("Suffix") or "/" in index["Suffix"]):
        raise context.error(
            "validation", "The IndexDocument Suffix is not well formed",
            ArgumentName="IndexDocument", ArgumentValue=index.get("Suffix", ""),
        )  # fmt: skip
    return document


def accelerate(context: Context, bucket: BucketInfo, document: Document) -> Document:
    """Not for buckets with dots, whose names do not fit into the accelerated host names."""
    if "." in bucket.name:
        message = "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"
        raise context.error("bad_request", message)
    if "Status" not in document:
        raise context.error("malformed", "An AccelerateConfiguration must have a Status: Enabled or Suspended.")
    return document


def payment(_context: Context, _bucket: BucketInfo, document: Document) -> Document:
    """Who pays; nobody does here."""
    return document
