"""Object Lock: retention and legal holds of versions, and what they forbid. A bucket's own configuration is not here.

Amazon S3 User Guide, "Locking objects with Object Lock". Time is the virtual clock's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from kenja.core.clock import utc
from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.objects import Attributes, BucketInfo, Condition, ObjectInfo
from kenja.kernel.objects.errors import Locked
from kenja.services.s3.service import operation

SETTING = "object_lock"  # of a bucket: its ObjectLockConfiguration
DAY, YEAR = 86_400, 365 * 86_400  # seconds
_MODE, _UNTIL, _HOLD = "ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus"  # members


def requested(context: Context, request: Mapping[str, Any], bucket: BucketInfo) -> dict[str, str]:
    """The lock of a new version: what the request says, else the bucket's default retention."""
    mode, until, hold = (request.get(name) for name in (_MODE, _UNTIL, _HOLD))
    if mode or until or hold:
        _check_bucket(context, bucket)
    if bool(mode) != bool(until):
        raise context.error(
            "validation",
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
            ArgumentName="x-amz-object-lock-mode" if until else "x-amz-object-lock-retain-until-date",
        )
    held = {_HOLD: str(hold)} if hold else {}
    if mode and until:
        return {_MODE: mode, _UNTIL: _future(context, until), **held}
    return {**_default(context, bucket), **held}


def shown(info: ObjectInfo) -> dict[str, Any]:
    """The members of GetObject and HeadObject that tell of a lock."""
    lock: dict[str, Any] = dict(info.attributes.lock)
    return {**lock, _UNTIL: utc(float(lock[_UNTIL]))} if _UNTIL in lock else lock


def deletable(context: Context, version: str | None, condition: Condition | None, *, bypass: bool) -> Condition | None:
    """A delete's condition that a lock is kept too; a delete marker hides a locked version and removes nothing."""
    if version is None:
        return condition

    def unlocked(info: ObjectInfo | None) -> None:
        if info is not None and info.attributes.lock and _is_locked(context, info, bypass=bypass):
            raise Locked
        if condition is not None:
            condition(info)

    return unlocked


@operation("PutObjectRetention")
def put_object_retention(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Retains a version until a date, or changes that as far as its present mode allows."""
    wanted = request.get("Retention") or {}
    mode, until = wanted.get("Mode"), wanted.get("RetainUntilDate")
    if bool(mode) != bool(until):
        raise context.error("malformed", "A Retention has both a Mode and a RetainUntilDate, or neither.")
    moment = _future(context, until) if until else ""
    bypass = bool(request.get("BypassGovernanceRetention"))

    def change(info: ObjectInfo) -> Attributes:
        lock = dict(info.attributes.lock)
        longer = bool(moment) and float(moment) >= float(lock.get(_UNTIL, 0))
        if _is_retained(context, lock):
            kept = longer and (mode == lock[_MODE] or lock[_MODE] == "GOVERNANCE")
            if not kept and (lock[_MODE] == "COMPLIANCE" or not bypass):
                raise Locked
        lock = {name: value for name, value in lock.items() if name == _HOLD}
        return replace(info.attributes, lock={**lock, _MODE: mode, _UNTIL: moment} if mode else lock)

    _amend(context, request, change)
    return {}


@operation("GetObjectRetention")
def get_object_retention(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The retention of an object or of one version."""
    lock = shown(_locked_object(context, request))
    if _MODE not in lock:
        raise _no_lock(context)
    return {"Retention": {"Mode": lock[_MODE], "RetainUntilDate": lock[_UNTIL]}}


@operation("PutObjectLegalHold")
def put_object_legal_hold(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Holds a version without an end, or lets it go."""
    status = (request.get("LegalHold") or {}).get("Status")
    if status not in ("ON", "OFF"):
        raise context.error("malformed", f"The Status of a LegalHold is ON or OFF, not {status}.")

    def change(info: ObjectInfo) -> Attributes:
        return replace(info.attributes, lock={**info.attributes.lock, _HOLD: status})

    _amend(context, request, change)
    return {}


@operation("GetObjectLegalHold")
def get_object_legal_hold(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Whether an object or one version is held."""
    lock = shown(_locked_object(context, request))
    if _HOLD not in lock:
        raise _no_lock(context)
    return {"LegalHold": {"Status": lock[_HOLD]}}


def _amend(context: Context, request: Mapping[str, Any], change: Any) -> None:
    store = context.kernel.objects
    _check_bucket(context, store.bucket(context.account, request["Bucket"]))
    store.amend(context.account, request["Bucket"], request["Key"], request.get("VersionId"), change)


def _locked_object(context: Context, request: Mapping[str, Any]) -> ObjectInfo:
    store = context.kernel.objects
    _check_bucket(context, store.bucket(context.account, request["Bucket"]))
    return store.head(context.account, request["Bucket"], request["Key"], request.get("VersionId"))


def _check_bucket(context: Context, bucket: BucketInfo) -> None:
    if not bucket.settings.get(SETTING):
        raise context.error("bad_request", "Bucket is missing Object Lock Configuration")


def _default(context: Context, bucket: BucketInfo) -> dict[str, str]:
    rule = (bucket.settings.get(SETTING) or {}).get("Rule") or {}
    retention = rule.get("DefaultRetention")
    if not retention:
        return {}
    length = retention["Days"] * DAY if "Days" in retention else retention["Years"] * YEAR
    return {_MODE: retention["Mode"], _UNTIL: str(int(context.kernel.clock.virtual()) + length)}


def _future(context: Context, until: datetime) -> str:
    seconds = until.timestamp()
    if seconds <= context.kernel.clock.virtual():
        raise context.error("validation", "The retain until date must be in the future!")
    return str(int(seconds))


def _is_locked(context: Context, info: ObjectInfo, *, bypass: bool) -> bool:
    lock = info.attributes.lock
    if lock.get(_HOLD) == "ON":
        return True
    return _is_retained(context, lock) and not (bypass and lock[_MODE] == "GOVERNANCE")


def _is_retained(context: Context, lock: Mapping[str, str]) -> bool:
    return _UNTIL in lock and float(lock[_UNTIL]) > context.kernel.clock.virtual()


def _no_lock(context: Context) -> ServiceError:
    return context.error("no_lock", "The specified object does not have a ObjectLock configuration")
