"""Roles as the platform itself needs them: their rows, their sessions' names, and the role that every account has.

The operations on roles are IAM's (`kenja.services.iam`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from kenja.core import ids
from kenja.kernel.context import PARTITION, Principal
from kenja.kernel.resources.store import AlreadyExists, Record, Scope, Store

KIND = "iam:Role"
DEFAULT_ROLE = "KenjaExecutionRole"
MAX_SESSION = 12 * 60 * 60  # seconds; the largest MaxSessionDuration that IAM allows
_ROLE_ARN = re.compile(rf"arn:{PARTITION}:iam::(\d{{12}}):role((?:/[!-~]+)*?)/([\w+=,.@-]{{1,64}})", re.ASCII)
_TRUSTED = ("sagemaker", "bedrock", "scheduler")  # what the SageMaker SDK v3 looks for before it takes a role
_DEFAULT_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": [f"{service}.amazonaws.com" for service in _TRUSTED]},
            "Action": "sts:AssumeRole",
        },
    ],
}


@dataclass(frozen=True, slots=True)
class RoleArn:
    """A role's ARN in parts; `path` begins and ends with a slash."""

    account: str
    path: str
    name: str


def parse(arn: str) -> RoleArn | None:
    """The parts of a role's ARN, or None for anything else."""
    match = _ROLE_ARN.fullmatch(arn)
    return RoleArn(match[1], f"{match[2]}/", match[3]) if match else None


def arn(account: str, path: str, name: str) -> str:
    """The ARN of a role."""
    return f"arn:{PARTITION}:iam::{account}:role{path}{name}"


def find(store: Store, account: str, name: str) -> Record | None:
    """A role's row; names that differ only in case are one name. Every account has the default role."""
    record = store.get(Scope(account, ""), KIND, name.lower())
    if record is None and name.lower() == DEFAULT_ROLE.lower():
        return ensure_default(store, account)
    return record


def ensure_default(store: Store, account: str) -> Record:
    """The role as which `kenja env`, and jobs that name it, act."""
    body = {
        "Path": "/",
        "RoleName": DEFAULT_ROLE,
        "RoleId": ids.unique_id("AROA"),
        "AssumeRolePolicyDocument": orjson.dumps(_DEFAULT_TRUST).decode(),
        "Description": "Execution role of this account; made by Kenja",
        "MaxSessionDuration": MAX_SESSION,
    }
    try:
        return insert(store, account, body)
    except AlreadyExists:
        present = store.get(Scope(account, ""), KIND, DEFAULT_ROLE.lower())
        assert present is not None
        return present


def insert(store: Store, account: str, body: dict[str, Any], tags: Mapping[str, str] | None = None) -> Record:
    """Store a new role. Raises AlreadyExists when the account has one of this name, in whatever case."""
    name = body["RoleName"]
    where = arn(account, body["Path"], name)
    return store.insert(Record(Scope(account, ""), KIND, name.lower(), where, None, body), tags)


def session_principal(account: str, name: str, role_id: str, session: str, access_key: str = "") -> Principal:
    """Who a session of a role is."""
    where = f"arn:{PARTITION}:sts::{account}:assumed-role/{name}/{session}"
    return Principal(account, where, f"{role_id}:{session}", access_key)
