"""CreateRole, GetRole, ListRoles and DeleteRole. Trust policies are checked and shown; STS asks them across accounts."""

from __future__ import annotations

from typing import Any

from kenja.core import ids
from kenja.core.clock import utc
from kenja.kernel.context import Context
from kenja.kernel.identity import roles
from kenja.kernel.resources import tags
from kenja.kernel.resources.store import AlreadyExists, Query, Record
from kenja.services.iam.service import DEFAULT_PAGE, checked_policy, encoded, marked, marker, service

DEFAULT_MAX_SESSION = 60 * 60  # seconds; IAM API Reference, CreateRole
MAX_TRUST_POLICY = 2048  # characters; "IAM and AWS STS quotas"
_BATCH = 500  # rows read at once while a listing looks for a path


@service.operation("CreateRole", level=2)
def create_role(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """A new role of the account."""
    trust = request["AssumeRolePolicyDocument"]
    checked_policy(context, trust, "trust")
    if len(trust) > MAX_TRUST_POLICY:
        message = f"Cannot exceed quota for ACLSizePerRole: {MAX_TRUST_POLICY}; this trust policy has {len(trust)} characters."
        raise context.error("limit", message)
    body = {
        "Path": request.get("Path", "/"),
        "RoleName": request["RoleName"],
        "RoleId": ids.unique_id("AROA"),
        "AssumeRolePolicyDocument": trust,
        "MaxSessionDuration": request.get("MaxSessionDuration", DEFAULT_MAX_SESSION),
    }
    if "Description" in request:
        body["Description"] = request["Description"]
    if boundary := request.get("PermissionsBoundary"):
        body["PermissionsBoundary"] = {
            "PermissionsBoundaryType": "PermissionsBoundaryPolicy",
            "PermissionsBoundaryArn": boundary,
        }
    labels = tags.checked(context, request.get("Tags", []))
    if roles.find(context.kernel.store, context.account, body["RoleName"]) is not None:
        raise context.error("duplicate", f"Role with name {body['RoleName']} already exists.")
    try:
        record = roles.insert(context.kernel.store, context.account, body, labels)
    except AlreadyExists:
        raise context.error("duplicate", f"Role with name {body['RoleName']} already exists.") from None
    return {"Role": view(record, labels)}


@service.operation("GetRole")
def get_role(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Everything that is known of one role."""
    record = find(context, request["RoleName"])
    return {"Role": view(record, context.kernel.store.tags(record.arn))}


@service.operation("ListRoles")
def list_roles(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """One page of the account's roles by name, those under a path where the request names one; without tags, as on AWS."""
    roles.find(context.kernel.store, context.account, roles.DEFAULT_ROLE)  # every account has it
    limit, prefix = request.get("MaxItems", DEFAULT_PAGE), request.get("PathPrefix", "/")
    found: list[Record] = []
    after = marked(context, request)
    while len(found) <= limit:
        rows = context.kernel.store.page(
            Query(context.global_scope, roles.KIND, _BATCH, sort="name", ascending=True, after=after)
        )
        found += [row for row in rows if row.body["Path"].startswith(prefix)]
        if len(rows) < _BATCH:
            break
        after = (rows[-1].name, rows[-1].id)
    page = found[:limit]
    answer: dict[str, Any] = {"Roles": [view(record, {}) for record in page], "IsTruncated": len(found) > limit}
    if len(found) > limit:
        answer["Marker"] = marker(request, (page[-1].name, page[-1].id))
    return answer


@service.operation("DeleteRole")
def delete_role(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Remove a role that has no policies."""
    record = find(context, request["RoleName"])
    if record.name == roles.DEFAULT_ROLE.lower():
        message = f"{roles.DEFAULT_ROLE} belongs to Kenja itself, every account has it; it cannot be deleted."
        raise context.error("unmodifiable", message)
    if record.body.get("AttachedPolicies"):
        raise context.error("in_use", "Cannot delete entity, must detach all policies first.")
    if record.body.get("InlinePolicies"):
        raise context.error("in_use", "Cannot delete entity, must delete policies first.")
    context.kernel.store.delete(record)
    return {}


def find(context: Context, name: str) -> Record:
    """The role of this name. Raises NoSuchEntity."""
    record = roles.find(context.kernel.store, context.account, name)
    if record is None:
        raise context.error("not_found", f"The role with name {name} cannot be found.")
    return record


def view(record: Record, labels: dict[str, str]) -> dict[str, Any]:
    """A role as IAM answers it."""
    shown = {name: value for name, value in record.body.items() if name not in ("InlinePolicies", "AttachedPolicies")}
    shown["AssumeRolePolicyDocument"] = encoded(record.body["AssumeRolePolicyDocument"])
    shown |= {"Arn": record.arn, "CreateDate": utc(record.created)}
    if labels:
        shown["Tags"] = [{"Key": key, "Value": value} for key, value in labels.items()]
    return shown
