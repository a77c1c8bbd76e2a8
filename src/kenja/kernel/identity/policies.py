"""Policy documents: their syntax, and what they say about an action on a resource. Whose they are is `Identity`'s business.

IAM User Guide, "IAM JSON policy elements reference" and "Policy evaluation logic": an explicit deny wins over any
allow, and what nothing allows is denied. Conditions are not evaluated until the issue on identity: a conditional
allow allows nothing, a conditional deny denies always.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import orjson

from kenja.kernel.context import Principal

Effect = Literal["allowed", "explicitDeny", "implicitDeny"]
Form = Literal["identity", "trust"]
_VERSIONS = ("2012-10-17", "2008-10-17")
_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")
_RESOURCE = re.compile(r"\*|arn:[^:]*:[^:]*:[^:]*:[^:]*:.+", re.DOTALL)
_STATEMENT_PARTS = frozenset(
    ("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition")
)


class Malformed(Exception):  # noqa: N818 - becomes MalformedPolicyDocument
    """A policy document that AWS would refuse; the message says why."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; an element that it does not have is None."""

    allow: bool
    actions: tuple[str, ...] | None
    not_actions: tuple[str, ...] | None
    resources: tuple[str, ...] | None
    not_resources: tuple[str, ...] | None
    principals: Mapping[str, tuple[str, ...]] | None
    conditional: bool = False

    def covers(self, action: str, resource: str) -> bool:
        """True when the statement says something about this action on this resource."""
        if self.conditional and self.allow:
            return False
        if self.actions is not None and not _any(self.actions, action.lower(), fold=True):
            return False
        if self.not_actions is not None and _any(self.not_actions, action.lower(), fold=True):
            return False
        if self.resources is not None and not _any(self.resources, resource, fold=False):
            return False
        return self.not_resources is None or not _any(self.not_resources, resource, fold=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed document and what it is called in SimulatePrincipalPolicy's answer."""

    name: str
    kind: str  # PolicySourceType of IAM's model: "role", "aws-managed", "none" …
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policies say, and those that said it."""

    effect: Effect
    sources: tuple[Policy, ...] = ()

    @property
    def allowed(self) -> bool:
        """True when the call may go on."""
        return self.effect == "allowed"


def evaluate(policies: Iterable[Policy], action: str, resource: str) -> Decision:
    """The decision of policies that all apply to one caller."""
    allowing: list[Policy] = []
    denying: list[Policy] = []
    for policy in policies:
        matching = [statement.allow for statement in policy.statements if statement.covers(action, resource)]
        if False in matching:
            denying.append(policy)
        elif matching:
            allowing.append(policy)
    if denying:
        return Decision("explicitDeny", tuple(denying))
    return Decision("allowed", tuple(allowing)) if allowing else Decision("implicitDeny")


def trusts(policy: Policy, principal: Principal) -> bool:
    """True when a role's trust policy names this principal, its account or everyone, and denies it nowhere."""
    named = {"*", principal.account, f"arn:aws:iam::{principal.account}:root", principal.arn}
    match = re.fullmatch(r"arn:aws:sts::(\d{12}):assumed-role/([^/]+)/.*", principal.arn)
    if match:
        named.add(f"arn:aws:iam::{match[1]}:role/{match[2]}")
    verdicts = [
        statement.allow
        for statement in policy.statements
        if statement.covers("sts:AssumeRole", "*") and named.intersection((statement.principals or {}).get("AWS", ()))
    ]
    return bool(verdicts) and all(verdicts)


def parse(text: str, form: Form, *, name: str = "", kind: str = "none") -> Policy:
    """A policy document from JSON. Raises Malformed."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"This policy contains invalid Json: {error}") from error
    if not isinstance(document, dict):
        raise Malformed("Syntax errors in policy: it must be a JSON object with Version and Statement.")
    extra = set(document) - {"Version", "Id", "Statement"}
    if extra:
        raise Malformed(
            f"Syntax errors in policy: unknown element {min(extra)!r}; Version, Id and Statement are allowed."
        )
    if document.get("Version", _VERSIONS[1]) not in _VERSIONS:
        raise Malformed(f"The policy's Version is {document['Version']!r}; it must be {' or '.join(_VERSIONS)}.")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise Malformed("Syntax errors in policy: Statement must be an object or a list of at least one.")
    return Policy(name, kind, tuple(_statement(statement, form) for statement in statements))


def _statement(statement: Any, form: Form) -> Statement:
    if not isinstance(statement, dict):
        raise Malformed("Syntax errors in policy: a statement must be an object.")
    extra = set(statement) - _STATEMENT_PARTS
    if extra:
        raise Malformed(f"Syntax errors in policy: a statement has no element {min(extra)!r}.")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise Malformed(f"Effect is {statement.get('Effect')!r}; it must be Allow or Deny.")
    if not isinstance(statement.get("Condition", {}), dict):
        raise Malformed("Syntax errors in policy: Condition must be an object.")
    actions, not_actions = _one_of(statement, "Action", "NotAction")
    for action in (*(actions or ()), *(not_actions or ())):
        if not _ACTION.fullmatch(action):
            raise Malformed(
                f"Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.; {action!r} is not."
            )
    resources = not_resources = principals = None
    if form == "identity":
        _absent(statement, "Principal", "NotPrincipal")
        resources, not_resources = _one_of(statement, "Resource", "NotResource")
        for resource in (*(resources or ()), *(not_resources or ())):
            if not _RESOURCE.fullmatch(resource):
                raise Malformed(f'Resource {resource!r} must be in ARN format or "*".')
    else:
        _absent(statement, "Resource", "NotResource", "NotPrincipal")
        principals = _principals(statement)
    allow, conditional = statement["Effect"] == "Allow", bool(statement.get("Condition"))
    return Statement(allow, actions, not_actions, resources, not_resources, principals, conditional)


def _one_of(
    statement: Mapping[str, Any], name: str, negated: str
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    if (name in statement) == (negated in statement):
        raise Malformed(f"Policy statement must contain exactly one of {name} and {negated}.")
    return (_texts(statement, name), None) if name in statement else (None, _texts(statement, negated))


def _absent(statement: Mapping[str, Any], *names: str) -> None:
    found = [name for name in names if name in statement]
    if found:
        raise Malformed(f"Has prohibited field {found[0]}.")


def _principals(statement: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    value = statement.get("Principal")
    if value == "*":
        return {"AWS": ("*",)}
    if not isinstance(value, dict) or not value:
        raise Malformed("Missing required field Principal: a trust policy says who may assume the role.")
    unknown = set(value) - {"AWS", "Service", "Federated", "CanonicalUser"}
    if unknown:
        raise Malformed(f"Invalid principal in policy: {min(unknown)!r}.")
    return {kind: _texts(value, kind) for kind in value}


def _texts(holder: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = holder[name]
    texts: Sequence[Any] = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise Malformed(f"Syntax errors in policy: {name} must be a string or a list of strings.")
    return tuple(texts)


def _any(patterns: Sequence[str], text: str, *, fold: bool) -> bool:
    return any(pattern == "*" or _pattern(pattern, fold).fullmatch(text) is not None for pattern in patterns)


@lru_cache(maxsize=1024)
def _pattern(pattern: str, fold: bool) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    text = pattern.lower() if fold else pattern
    return re.compile("".join(parts.get(letter) or re.escape(letter) for letter in text), re.DOTALL)
