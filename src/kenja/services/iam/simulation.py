"""SimulatePrincipalPolicy: the very decision that requests pass through, asked for a role and a list of actions."""

from __future__ import annotations

import re
from typing import Any

from kenja.kernel.context import Context, Principal
from kenja.kernel.identity import Decision, Policy, policies, roles
from kenja.services.iam.service import page, service

_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9*]+", re.ASCII)
_USER = re.compile(r"arn:aws:iam::(\d{12}):(?:user|group)/[!-~]+", re.ASCII)


@service.operation("SimulatePrincipalPolicy", level=2)
def simulate_principal_policy(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """One page of decisions: a result for each action on each resource."""
    principal = _principal(context, request["PolicySourceArn"])
    extra = _extra_policies(context, request)
    for action in request["ActionNames"]:
        if not _ACTION.fullmatch(action):
            raise context.error("invalid", f"Invalid Action: {action!r}; an action is like s3:GetObject.")
    questions = [(action, where) for action in request["ActionNames"] for where in request.get("ResourceArns") or ["*"]]
    decide = context.kernel.identity.decide

    def answer(question: tuple[str, str]) -> dict[str, Any]:
        return _result(*question, decide(principal, *question, extra))

    return page(context, request, questions, "EvaluationResults", answer)


def _result(action: str, resource: str, decision: Decision) -> dict[str, Any]:
    sources = [{"SourcePolicyId": policy.name, "SourcePolicyType": policy.kind} for policy in decision.sources]
    return {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": decision.effect,
        "MatchedStatements": sources,
        "MissingContextValues": [],
    }


def _principal(context: Context, arn: str) -> Principal:
    """Whose policies are asked. Raises NoSuchEntity, and InvalidInput for what has no policies of its own."""
    role = roles.parse(arn)
    if role is None:
        if _USER.fullmatch(arn):
            raise context.error("not_found", f"The user or group {arn} cannot be found; this account has roles only.")
        message = f"Invalid Entity Arn: {arn} does not clearly define entity type and name; give the ARN of a role."
        raise context.error("invalid", message)
    record = roles.find(context.kernel.store, role.account, role.name) if role.account == context.account else None
    if record is None or record.arn != arn:
        raise context.error("not_found", f"The role with ARN {arn} cannot be found.")
    return Principal(role.account, arn, record.body["RoleId"])


def _extra_policies(context: Context, request: dict[str, Any]) -> list[Policy]:
    found = []
    for number, text in enumerate(request.get("PolicyInputList", []), start=1):
        try:
            found.append(policies.parse(text, "identity", name=f"PolicyInputList.{number}"))
        except policies.Malformed as error:
            raise context.error("invalid", f"PolicyInputList.{number}: {error}") from None
    return found
