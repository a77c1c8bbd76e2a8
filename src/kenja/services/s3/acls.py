"""Access control lists as data: canned ones, grants in headers and documents, who is meant, what is public. No operations.

Amazon S3 User Guide, "Access control list (ACL) overview" and "Controlling ownership of objects and disabling ACLs".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.objects import BucketInfo
from kenja.services.s3.protection import canonical_id

Grant = dict[str, Any]  # as AWS's models have it: {"Grantee": {...}, "Permission": "READ"}

ENFORCED, PREFERRED, WRITER = "BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"  # object ownership
OWNERSHIP, PUBLIC_ACCESS, ACL = "ownership", "public_access", "acl"  # settings of a bucket
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"
GROUPS = (ALL_USERS, AUTHENTICATED, LOG_DELIVERY)
MAX_GRANTS = 100  # Amazon S3 User Guide, ACL overview
CANNED: Mapping[str, tuple[tuple[str, str], ...]] = {  # name -> (group, permission) besides the owner's FULL_CONTROL
    "private": (),
    "public-read": ((ALL_USERS, "READ"),),
    "public-read-write": ((ALL_USERS, "READ"), (ALL_USERS, "WRITE")),
    "authenticated-read": ((AUTHENTICATED, "READ"),),
    "log-delivery-write": ((LOG_DELIVERY, "WRITE"), (LOG_DELIVERY, "READ_ACP")),
    "bucket-owner-read": (),  # objects only; a bucket's owner owns the objects that are written here
    "bucket-owner-full-control": (),
    "aws-exec-read": (),  # Amazon EC2 reads machine images; there is none here
}
_HEADERS = {  # member of the request -> permission
    "GrantFullControl": "FULL_CONTROL",
    "GrantRead": "READ",
    "GrantReadACP": "READ_ACP",
    "GrantWrite": "WRITE",
    "GrantWriteACP": "WRITE_ACP",
}
_GRANTEE = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*"?([^",]*)"?\s*', re.I)
PUBLIC_BLOCK = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def ownership(bucket: BucketInfo) -> str | None:
    """Who owns a bucket's objects; None where the bucket has no ownership controls, which works as ObjectWriter."""
    found: str | None = bucket.settings.get(OWNERSHIP, ENFORCED)
    return found


def public_block(bucket: BucketInfo) -> dict[str, bool] | None:
    """The bucket's public access block, all of it on for a new bucket; None where it was deleted."""
    found: dict[str, bool] | None = bucket.settings.get(PUBLIC_ACCESS, dict.fromkeys(PUBLIC_BLOCK, True))
    return found


def grants_of(account: str, stored: Iterable[Grant] | None) -> list[Grant]:
    """The grants of a bucket or object; without any, full control for its owner."""
    return list(stored) if stored else [_full_control(account)]


def object_grants(account: str, text: str) -> list[Grant]:
    """The grants of an object from `Attributes.acl`."""
    return grants_of(account, orjson.loads(text) if text else None)


def asked(request: Mapping[str, Any]) -> bool:
    """Whether a request names an access control list that is not what every object has anyway."""
    plain = request.get("ACL") in (None, "private", "bucket-owner-full-control")
    return not plain or any(request.get(member) for member in _HEADERS)


def requested(context: Context, request: Mapping[str, Any], owner: str) -> list[Grant] | None:
    """The grants that a request's headers or document ask for; None when it names none. Raises S3's errors."""
    headers = [member for member in _HEADERS if request.get(member)]
    document = request.get("AccessControlPolicy")
    if request.get("ACL") and headers:
        raise context.error("bad_request", "Specifying both Canned ACLs and Header Grants is not allowed")
    if document and (request.get("ACL") or headers):
        raise context.error("unexpected", "This request does not support content")
    if name := request.get("ACL"):
        groups = [{"Grantee": {"Type": "Group", "URI": uri}, "Permission": what} for uri, what in CANNED[name]]
        return [_full_control(owner), *groups]
    if headers:
        return [grant for member in headers for grant in _header(context, _HEADERS[member], request[member])]
    if document is None:
        return None
    listed = document.get("Grants") or []
    if (document.get("Owner") or {}).get("ID") not in (None, canonical_id(owner)):
        raise context.error("denied", "Access Denied")
    if len(listed) > MAX_GRANTS:
        raise context.error("malformed_acl", f"An access control list may have {MAX_GRANTS} grants, not {len(listed)}.")
    return [_checked(context, grant) for grant in listed]


def check_allowed(context: Context, bucket: BucketInfo, grants: Iterable[Grant]) -> None:
    """Refuse a list that the bucket's ownership controls or its public access block do not allow."""
    listed = list(grants)
    if ownership(bucket) == ENFORCED and listed != [_full_control(bucket.account)]:
        raise context.error("acl_unsupported", "The bucket does not allow ACLs")
    if is_public(listed) and (public_block(bucket) or {}).get("BlockPublicAcls"):
        message = "Access Denied: the bucket's public access block has BlockPublicAcls, and this list is public."
        raise context.error("denied", message)


def for_object(context: Context, request: Mapping[str, Any]) -> str:
    """What `Attributes.acl` gets for a new object; empty for a private one. Raises S3's errors."""
    if not asked(request):
        return ""
    bucket = context.kernel.objects.bucket(context.account, request["Bucket"])
    grants = requested(context, request, bucket.account) or []
    check_allowed(context, bucket, grants)
    return orjson.dumps(grants).decode()


def is_public(grants: Iterable[Grant]) -> bool:
    """Whether everybody, or everybody with an account, is granted something."""
    return any(grant["Grantee"].get("URI") in (ALL_USERS, AUTHENTICATED) for grant in grants)


def permits(grants: Iterable[Grant], account: str, permission: str) -> bool:
    """Whether a list grants a permission to an account, or to nobody in particular (an empty one)."""
    groups = (ALL_USERS, AUTHENTICATED) if account else (ALL_USERS,)
    return any(
        grant["Permission"] in (permission, "FULL_CONTROL")
        and (grant["Grantee"].get("URI") in groups or (account and grant["Grantee"].get("ID") == canonical_id(account)))
        for grant in grants
    )


def _full_control(account: str) -> Grant:
    user = {"Type": "CanonicalUser", "DisplayName": account, "ID": canonical_id(account)}
    return {"Grantee": user, "Permission": "FULL_CONTROL"}


def _header(context: Context, permission: str, text: str) -> list[Grant]:
    grants = []
    for piece in text.split(","):
        match = _GRANTEE.fullmatch(piece)
        if match is None:
            raise _bad(context, "x-amz-grant-*", text, 'a grantee is id="…", uri="…" or emailAddress="…"')
        kind, value = match[1].lower(), match[2]
        grantee = {"Type": "CanonicalUser", "ID": value} if kind == "id" else {"Type": "Group", "URI": value}
        if kind == "emailaddress":
            grantee = {"Type": "AmazonCustomerByEmail", "EmailAddress": value}
        grants.append(_checked(context, {"Grantee": grantee, "Permission": permission}))
    return grants


def _checked(context: Context, grant: Mapping[str, Any]) -> Grant:
    """A grant whose grantee exists, with the owner's name as S3 shows it."""
    grantee, permission = grant.get("Grantee") or {}, grant.get("Permission")
    if permission is None:
        raise context.error("malformed_acl", "A grant must have a Grantee and a Permission.")
    if uri := grantee.get("URI"):
        if uri not in GROUPS:
            raise _bad(context, "uri", uri, f"the groups are {', '.join(GROUPS)}")
        return {"Grantee": {"Type": "Group", "URI": uri}, "Permission": permission}
    if user := grantee.get("ID"):
        accounts = {canonical_id(account): account for account in context.kernel.identity.accounts()}
        if user not in accounts:
            raise _bad(context, "id", user, "it is the canonical user id of no account here")
        shown = {"Type": "CanonicalUser", "DisplayName": accounts[user], "ID": user}
        return {"Grantee": shown, "Permission": permission}
    if grantee.get("EmailAddress"):
        raise context.error("email", "The e-mail address you provided does not match any account on record.")
    raise context.error("malformed_acl", "A Grantee must have an ID or a URI.")


def _bad(context: Context, name: str, value: str, hint: str) -> ServiceError:
    return context.error("validation", f"Invalid {name}: {hint}", ArgumentName=name, ArgumentValue=value)
