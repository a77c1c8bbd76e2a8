"""Accounts and their root access keys: rows that belong to no account's world, so that a reset leaves them in place."""

from __future__ import annotations

import os
import re
import secrets
import string
from dataclasses import dataclass
from pathlib import Path

from kenja.core import ids
from kenja.core.config import DEFAULT_ACCOUNT
from kenja.kernel.context import PARTITION, Principal
from kenja.kernel.resources.store import AlreadyExists, Record, Scope, Store

_EVERYWHERE = Scope("", "")
_ACCOUNT = "identity:Account"
_KEY = "identity:AccessKey"
_TWELVE_DIGITS = re.compile(r"[0-9]{12}")
_SECRET_ALPHABET = string.ascii_letters + string.digits + "/+"
_SECRET_LENGTH = 40  # characters, as AWS's secret access keys


@dataclass(frozen=True, slots=True)
class RootKeys:
    """The first access key of an account."""

    account: str
    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A long-lived key and whose it is."""

    secret: str
    principal: Principal


class Accounts:
    """Thread safe, and safe to use from several processes: of two that make the same account, one wins."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, account: str | None) -> RootKeys:
        """A new account, of a random number without one. Raises ValueError for a bad or taken number."""
        if account is None:
            account = "".join(secrets.choice(string.digits[1:]) for _ in range(12))
        if not _TWELVE_DIGITS.fullmatch(account):
            raise ValueError(f"{account!r} is no account number: twelve digits are, such as 123456789012")
        try:
            return self._insert(account)
        except AlreadyExists:
            raise ValueError(f"account {account} exists already; `kenja accounts list` shows all") from None

    def ensure(self, account: str = DEFAULT_ACCOUNT) -> RootKeys:
        """The account's root keys; the account is made when there is none yet."""
        record = self._store.get(_EVERYWHERE, _ACCOUNT, account)
        if record is None:
            try:
                return self._insert(account)
            except AlreadyExists:
                record = self._store.get(_EVERYWHERE, _ACCOUNT, account)
        assert record is not None
        access_key = record.body["AccessKeyId"]
        key = self._store.get(_EVERYWHERE, _KEY, access_key)
        assert key is not None, f"account {account} has lost its key {access_key}"
        return RootKeys(account, access_key, key.body["Secret"])

    def all(self) -> list[str]:
        """The numbers of all accounts, oldest first."""
        return [record.name for record in self._store.everywhere(_ACCOUNT)]

    def key(self, access_key: str) -> AccessKey | None:
        """A long-lived access key, or None when nobody has it."""
        record = self._store.get(_EVERYWHERE, _KEY, access_key)
        if record is None:
            return None
        body = record.body
        return AccessKey(body["Secret"], Principal(body["Account"], body["Arn"], body["UserId"], access_key))

    def _insert(self, account: str) -> RootKeys:
        access_key = ids.unique_id("AKIA", 20)
        secret = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
        root = f"arn:{PARTITION}:iam::{account}:root"
        owner = {"Secret": secret, "Account": account, "Arn": root, "UserId": account}
        with self._store.transaction():
            self._store.insert(Record(_EVERYWHERE, _ACCOUNT, account, root, None, {"AccessKeyId": access_key}))
            self._store.insert(Record(_EVERYWHERE, _KEY, access_key, f"{root}/{access_key}", None, owner))
        return RootKeys(account, access_key, secret)


def write_credentials(data: Path, keys: RootKeys) -> Path:
    """Write `credentials` in AWS's format into the data folder, readable by its owner only; whole or not at all."""
    data.mkdir(parents=True, exist_ok=True)
    target = data / "credentials"
    text = f"[default]\naws_access_key_id = {keys.access_key_id}\naws_secret_access_key = {keys.secret_access_key}\n"
    draft = data / f".credentials-{ids.token(16)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return target
