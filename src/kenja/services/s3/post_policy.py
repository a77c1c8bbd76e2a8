"""The policy of a browser's form: its conditions against the form's fields. Signatures and bytes are not here.

Amazon S3 API Reference, "Creating a POST policy": every field must be covered by a condition, except the signature's
own, the file and those that begin with `x-ignore-`; names and operators are matched without regard to case.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from kenja.core.errors import ServiceError
from kenja.kernel.declare import Service

_UNCOVERED = frozenset({"awsaccesskeyid", "signature", "x-amz-signature", "file", "policy"})
_IGNORED = "x-ignore-"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)  # ISO 8601 in UTC


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; `text` is how the document has it, which errors quote."""

    operator: str  # "eq" or "starts-with"
    field: str  # lower case, without "$"
    value: str
    text: str

    def holds(self, fields: Mapping[str, str]) -> bool:
        """Whether a form's field is as wanted; one that is not there never is."""
        found = fields.get(self.field)
        if found is None:
            return False
        if self.operator == "eq":
            return found == self.value
        parts = found.split(",") if self.field == "content-type" else [found]  # "must all begin with the value"
        return all(part.strip().startswith(self.value) or part.startswith(self.value) for part in parts)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was read. `least` and `most` are bytes of the file."""

    expires: float  # seconds since the epoch
    conditions: tuple[Condition, ...]
    least: int | None = None
    most: int | None = None


def read(service: Service, encoded: str) -> Policy:
    """The policy of a form's field. Raises InvalidPolicyDocument."""
    try:
        document = orjson.loads(base64.b64decode("".join(encoded.split()), validate=True))
    except (binascii.Error, ValueError):
        raise _invalid(service, "Invalid JSON.") from None
    if not isinstance(document, dict):
        raise _invalid(service, "Invalid JSON: the policy must be an object.")
    expires = _expiration(service, document)
    listed = document.get("conditions")
    if not isinstance(listed, list):
        raise _invalid(
            service, "Policy missing conditions." if listed is None else "Invalid 'conditions' value: must be a List."
        )
    conditions: list[Condition] = []
    least = most = None
    for item in listed:
        if _is_range(item):
            least, most = _range(service, item)
        else:
            conditions.extend(_conditions(service, item))
    return Policy(expires, tuple(conditions), least, most)


def check(service: Service, policy: Policy, fields: Mapping[str, str], now: float) -> None:
    """Let a form pass whose fields are as the policy wants, or raise AccessDenied. `fields` have lower-case names."""
    if now > policy.expires:
        raise _denied(service, "Policy expired.")
    for condition in policy.conditions:
        if not condition.holds(fields):
            raise _denied(service, f"Policy Condition failed: {condition.text}")
    covered = {condition.field for condition in policy.conditions} | _UNCOVERED
    extra = sorted(name for name in fields if name not in covered and not name.startswith(_IGNORED))
    if extra:
        raise _denied(service, f"Extra input fields: {', '.join(extra)}")


def check_size(service: Service, policy: Policy, size: int) -> None:
    """Raise EntityTooSmall or EntityTooLarge for a file that the policy's content-length-range does not allow."""
    if policy.least is not None and size < policy.least:
        message = "Your proposed upload is smaller than the minimum allowed size"
        raise service.error("too_small", message, ProposedSize=size, MinSizeAllowed=policy.least)
    if policy.most is not None and size > policy.most:
        message = "Your proposed upload exceeds the maximum allowed size"
        raise service.error("too_large", message, ProposedSize=size, MaxSizeAllowed=policy.most)


def _expiration(service: Service, document: Mapping[str, Any]) -> float:
    text = document.get("expiration")
    if text is None:
        raise _invalid(service, "Policy missing expiration.")
    if _TIME.fullmatch(str(text)):
        try:
            return datetime.fromisoformat(str(text)).timestamp()
        except ValueError:  # the thirteenth month
            pass
    raise _invalid(service, f"Invalid 'expiration' value: '{str(text)[:80]}'; it must be like 2030-12-31T12:00:00.000Z")


def _is_range(item: object) -> bool:
    return isinstance(item, list) and bool(item) and str(item[0]).lower() == "content-length-range"


def _range(service: Service, item: list[Any]) -> tuple[int, int]:
    bounds = [str(bound) for bound in item[1:] if not isinstance(bound, (bool, float))]
    if len(item) != 3 or len(bounds) != 2 or not all(bound.isascii() and bound.isdigit() for bound in bounds):
        raise _invalid(
            service,
            f"Invalid Condition: content-length-range takes a least and a most number of bytes, not {_text(item)}",
        )
    return int(bounds[0][:19]), int(bounds[1][:19])


def _conditions(service: Service, item: object) -> list[Condition]:
    if isinstance(item, dict) and item and all(isinstance(value, str) for value in item.values()):
        return [Condition("eq", name.lower(), value, _text(["eq", f"${name}", value])) for name, value in item.items()]
    if isinstance(item, list) and len(item) == 3 and all(isinstance(part, str) for part in item):
        operator, name, value = item[0].lower(), item[1], item[2]
        if operator in ("eq", "starts-with") and name.startswith("$"):
            return [Condition(operator, name[1:].lower(), value, _text(item))]
    raise _invalid(
        service,
        f"Invalid Condition {_text(item)}: a condition is an object of one field and its value, or a list of "
        "eq or starts-with, $field and value, or of content-length-range, least and most.",
    )


def _text(item: object) -> str:
    return orjson.dumps(item).decode().replace('","', '", "')[:500]


def _invalid(service: Service, sentence: str) -> ServiceError:
    return service.error("post_policy", f"Invalid Policy: {sentence}")


def _denied(service: Service, sentence: str) -> ServiceError:
    return service.error("denied", f"Invalid according to Policy: {sentence}")
