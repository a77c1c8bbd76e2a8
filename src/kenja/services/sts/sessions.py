"""GetCallerIdentity, AssumeRole and GetSessionToken. Temporary keys are stateless: nothing is stored when one is given out.

Inside an account every caller may assume every role until the issue on identity; a role of another account opens only
to callers that its trust policy names. Session policies and tags are checked, not yet applied.
"""

from __future__ import annotations

from typing import Any

from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.identity import Credentials, policies, roles
from kenja.kernel.resources import tags
from kenja.kernel.resources.store import Record
from kenja.services.sts.service import service

DEFAULT_ROLE_SESSION = 60 * 60  # seconds; STS API Reference, AssumeRole
MAX_CHAINED_SESSION = 60 * 60  # seconds; IAM User Guide, "Role chaining"
DEFAULT_TOKEN_SESSION = 12 * 60 * 60  # seconds; STS API Reference, GetSessionToken
MAX_ROOT_SESSION = 60 * 60  # seconds; the same page: a root user's sessions are cut to it
MAX_POLICY = 2048  # characters of session policies; STS API Reference, AssumeRole
MAX_POLICY_ARNS = 10


@service.operation("GetCallerIdentity")
def get_caller_identity(context: Context, _request: dict[str, Any]) -> dict[str, Any]:
    """The caller's account, ARN and unique id."""
    who = context.principal
    return {"UserId": who.user_id, "Account": who.account, "Arn": who.arn}


@service.operation("AssumeRole", level=2)
def assume_role(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Keys that act as a role under a session name of the caller's choice."""
    _no_mfa(context, request)
    size = _session_policy_size(context, request)
    tags.checked(context, request.get("Tags", []))
    role = _assumable(context, request["RoleArn"])
    duration = _role_duration(context, request, role)
    account, session = role.scope.account, request["RoleSessionName"]
    name, role_id = role.body["RoleName"], role.body["RoleId"]
    keys = context.kernel.identity.begin_session(account, name, role_id, session, duration)
    answer: dict[str, Any] = {
        "Credentials": _shown(keys),
        "AssumedRoleUser": {"AssumedRoleId": keys.principal.user_id, "Arn": keys.principal.arn},
    }
    if size:
        answer["PackedPolicySize"] = max(1, size * 100 // MAX_POLICY)
    if "SourceIdentity" in request:
        answer["SourceIdentity"] = request["SourceIdentity"]
    return answer


@service.operation("GetSessionToken")
def get_session_token(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Temporary keys of the caller itself."""
    _no_mfa(context, request)
    if _is_session(context):
        raise context.error(
            "denied", "Cannot call GetSessionToken with session credentials; use an account's own keys."
        )
    duration = request.get("DurationSeconds", DEFAULT_TOKEN_SESSION)
    if context.principal.arn.endswith(":root"):
        duration = min(duration, MAX_ROOT_SESSION)
    return {"Credentials": _shown(context.kernel.identity.begin_copy(context.principal, duration))}


def _shown(keys: Credentials) -> dict[str, Any]:
    return {
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key,
        "SessionToken": keys.session_token,
        "Expiration": keys.expiration,
    }


def _assumable(context: Context, role_arn: str) -> Record:
    """The role, if the caller may assume it; AWS does not tell a missing role from a closed one."""
    arn = roles.parse(role_arn)
    if arn is None:
        raise context.error(
            "validation", f"{role_arn} is invalid: a role's ARN is like arn:aws:iam::123456789012:role/Name."
        )
    if arn.account != context.account and arn.account not in context.kernel.identity.accounts():
        raise _denied(context, role_arn)
    role = roles.find(context.kernel.store, arn.account, arn.name)
    if role is None or role.arn != role_arn:
        raise _denied(context, role_arn)
    if arn.account != context.account:
        trust = policies.parse(role.body["AssumeRolePolicyDocument"], "trust")
        if not policies.trusts(trust, context.principal):
            raise _denied(context, role_arn)
    return role


def _denied(context: Context, role_arn: str) -> ServiceError:
    who = context.principal.arn
    return context.error("denied", f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {role_arn}")


def _role_duration(context: Context, request: dict[str, Any], role: Record) -> int:
    duration = int(request.get("DurationSeconds", DEFAULT_ROLE_SESSION))
    longest = role.body["MaxSessionDuration"]
    if duration > longest:
        message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role"
        raise context.error("validation", f"{message}: {duration} is more than {longest} seconds.")
    if ":assumed-role/" in context.principal.arn and duration > MAX_CHAINED_SESSION:
        message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        raise context.error(
            "validation", f"{message}; ask for at most {MAX_CHAINED_SESSION}, or use an account's own keys."
        )
    return duration


def _is_session(context: Context) -> bool:
    return context.principal.access_key.startswith("ASIA") or ":assumed-role/" in context.principal.arn


def _no_mfa(context: Context, request: dict[str, Any]) -> None:
    if "SerialNumber" in request or "TokenCode" in request:
        message = (
            "MultiFactorAuthentication failed: no MFA device is registered here; leave SerialNumber and TokenCode out."
        )
        raise context.error("denied", message)


def _session_policy_size(context: Context, request: dict[str, Any]) -> int:
    """Characters of the session policies. Raises what AWS does for a malformed or too large one."""
    arns = request.get("PolicyArns", [])
    if len(arns) > MAX_POLICY_ARNS:
        raise context.error("validation", f"{len(arns)} PolicyArns were given; at most {MAX_POLICY_ARNS} are allowed.")
    text = request.get("Policy", "")
    if text:
        try:
            policies.parse(text, "identity")
        except policies.Malformed as error:
            raise context.error("malformed_policy", str(error)) from None
    size = len(text) + sum(len(entry.get("arn", "")) for entry in arns)
    if size > MAX_POLICY:
        raise context.error(
            "policy_too_large", f"Packed size of session policies is {size * 100 // MAX_POLICY}% of the quota."
        )
    return size
