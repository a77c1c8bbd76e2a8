"""Session credentials without state: the token says who and until when, and only the platform's secret can make one.

A session's secret key is derived from its access key id, so any process that knows the platform's secret verifies a
request of any session, and nothing is written when one begins.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

import orjson

from kenja.core import ids
from kenja.core.clock import utc
from kenja.kernel.context import Principal

_TAG = 32  # bytes of HMAC-SHA256 in front of the claims


class BadToken(Exception):  # noqa: N818 - becomes the service's own error
    """A session token that the platform did not give out for this access key."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a session token says. `expires` is wall time, like everything that signatures depend on."""

    principal: Principal
    expires: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary keys as a client is given them."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires: float  # seconds since the epoch
    principal: Principal

    @property
    def expiration(self) -> datetime:
        """When the keys cease to work, UTC."""
        return utc(self.expires)


class Sessions:
    """Makes and reads session credentials. Thread safe: it has no state but the platform's secret."""

    def __init__(self, secret: str) -> None:
        self._token_key = hmac.digest(secret.encode(), b"session token", "sha256")
        self._secret_key = hmac.digest(secret.encode(), b"secret access key", "sha256")

    def begin(self, account: str, arn: str, user_id: str, expires: float) -> Credentials:
        """Keys that act as `arn` until `expires`."""
        expires = float(int(expires))
        access_key = ids.unique_id("ASIA", 20)
        claims = {"key": access_key, "account": account, "arn": arn, "id": user_id, "until": int(expires)}
        principal = Principal(account, arn, user_id, access_key)
        return Credentials(access_key, self.secret(access_key), self.seal(claims), expires, principal)

    def secret(self, access_key: str) -> str:
        """The secret access key of a session: 40 characters, as AWS's."""
        derived = hmac.digest(self._secret_key, access_key.encode(), "sha256")
        return base64.b64encode(derived[:30]).decode()

    def read(self, token: str, access_key: str) -> Session:
        """The session of a token, expired or not. Raises BadToken unless it was given out with this very key."""
        claims = self.open(token)
        if claims.get("key") != access_key:
            raise BadToken("the session token belongs to another access key")
        principal = Principal(claims["account"], claims["arn"], claims["id"], access_key)
        return Session(principal, float(claims["until"]))

    def seal(self, claims: dict[str, object]) -> str:
        """Claims as a token that nobody else can make or change; what it says is not hidden."""
        text = orjson.dumps(claims)
        return base64.urlsafe_b64encode(self._tag(text) + text).decode()

    def open(self, token: str) -> dict[str, str]:
        """The claims of a token. Raises BadToken when the platform did not make it."""
        try:
            sealed = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadToken("the session token is no token of this platform") from error
        tag, text = sealed[:_TAG], sealed[_TAG:]
        if not hmac.compare_digest(tag, self._tag(text)) or base64.urlsafe_b64encode(sealed).decode() != token:
            raise BadToken("the session token was changed or belongs to another server")
        claims: dict[str, str] = orjson.loads(text)
        return claims

    def _tag(self, text: bytes) -> bytes:
        return hmac.new(self._token_key, text, hashlib.sha256).digest()
