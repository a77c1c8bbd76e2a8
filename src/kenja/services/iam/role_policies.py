"""A role's policies: inline documents and attached managed ones. Kept and checked; applied from the issue on identity on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kenja.kernel.context import PARTITION, Context
from kenja.kernel.resources.store import Record
from kenja.services.iam.roles import find
from kenja.services.iam.service import checked_policy, encoded, page, service

MAX_INLINE = 10_240  # characters of all inline policies of a role, white space not counted; "IAM and AWS STS quotas"
MAX_ATTACHED = 10  # managed policies of a role; the same page
_ATTEMPTS = 20  # of a change while other requests change the same role
_AWS_MANAGED = re.compile(rf"arn:{PARTITION}:iam::aws:policy/(?:[\w+=,.@-]+/)*([\w+=,.@-]{{1,128}})", re.ASCII)
_POLICY_ARN = re.compile(rf"arn:{PARTITION}:iam::(?:aws|\d{{12}}):policy/[!-~]+", re.ASCII)


@service.operation("PutRolePolicy", level=1)
def put_role_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Add or replace an inline policy of a role."""
    name, document = request["PolicyName"], request["PolicyDocument"]
    checked_policy(context, document, "identity")

    def put(record: Record) -> dict[str, Any]:
        inline = {**record.body.get("InlinePolicies", {}), name: document}
        if sum(len("".join(text.split())) for text in inline.values()) > MAX_INLINE:
            message = f"Maximum policy size of {MAX_INLINE} bytes exceeded for role {record.body['RoleName']}."
            raise context.error("limit", message)
        return {"InlinePolicies": inline}

    return _change(context, request, put)


@service.operation("GetRolePolicy", level=1)
def get_role_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """One inline policy of a role."""
    record, name = find(context, request["RoleName"]), request["PolicyName"]
    document = _inline(context, record, name)
    return {"RoleName": record.body["RoleName"], "PolicyName": name, "PolicyDocument": encoded(document)}


@service.operation("ListRolePolicies", level=1)
def list_role_policies(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """One page of the names of a role's inline policies."""
    names = sorted(find(context, request["RoleName"]).body.get("InlinePolicies", {}))
    return page(context, request, names, "PolicyNames", str)


@service.operation("DeleteRolePolicy", level=1)
def delete_role_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Remove an inline policy of a role."""

    def remove(record: Record) -> dict[str, Any]:
        _inline(context, record, request["PolicyName"])
        inline = {name: text for name, text in record.body["InlinePolicies"].items() if name != request["PolicyName"]}
        return {"InlinePolicies": inline}

    return _change(context, request, remove)


@service.operation("AttachRolePolicy", level=1)
def attach_role_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Attach a policy that AWS manages; attaching it again changes nothing. Customer-managed ones do not exist here yet."""
    arn = _policy_arn(context, request["PolicyArn"])
    managed = _AWS_MANAGED.fullmatch(arn)
    find(context, request["RoleName"])
    if managed is None:
        raise context.error("not_found", f"Policy {arn} does not exist or is not attachable.")
    name = managed[1]

    def attach(record: Record) -> dict[str, Any]:
        attached = {**record.body.get("AttachedPolicies", {}), arn: name}
        if len(attached) > MAX_ATTACHED:
            raise context.error("limit", f"Cannot exceed quota for PoliciesPerRole: {MAX_ATTACHED}")
        return {"AttachedPolicies": attached}

    return _change(context, request, attach)


@service.operation("DetachRolePolicy", level=1)
def detach_role_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Detach a managed policy from a role."""
    arn = _policy_arn(context, request["PolicyArn"])

    def detach(record: Record) -> dict[str, Any]:
        attached = record.body.get("AttachedPolicies", {})
        if arn not in attached:
            raise context.error("not_found", f"Policy {arn} was not found.")
        return {"AttachedPolicies": {other: name for other, name in attached.items() if other != arn}}

    return _change(context, request, detach)


@service.operation("ListAttachedRolePolicies", level=1)
def list_attached_role_policies(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """One page of the managed policies of a role, those under a path where the request names one."""
    attached = find(context, request["RoleName"]).body.get("AttachedPolicies", {})
    prefix = request.get("PathPrefix", "/")
    chosen = sorted((name, arn) for arn, name in attached.items() if arn.partition(":policy")[2].startswith(prefix))
    return page(
        context, request, chosen, "AttachedPolicies", lambda item: {"PolicyName": item[0], "PolicyArn": item[1]}
    )


def _change(context: Context, request: dict[str, Any], edit: Callable[[Record], dict[str, Any]]) -> dict[str, Any]:
    """Change a role as `edit` says, again when another request was faster."""
    for _ in range(_ATTEMPTS):
        record = find(context, request["RoleName"])
        if context.kernel.store.change(record, members=edit(record)) is not None:
            return {}
    message = f"The role {request['RoleName']} is being changed by many requests at once; try again."
    raise context.error("conflict", message)


def _inline(context: Context, record: Record, name: str) -> str:
    document: str | None = record.body.get("InlinePolicies", {}).get(name)
    if document is None:
        raise context.error("not_found", f"The role policy with name {name} cannot be found.")
    return document


def _policy_arn(context: Context, arn: str) -> str:
    if not _POLICY_ARN.fullmatch(arn):
        message = f"ARN {arn} is not valid: a policy's ARN is like arn:aws:iam::aws:policy/AmazonSageMakerFullAccess."
        raise context.error("invalid", message)
    return arn
