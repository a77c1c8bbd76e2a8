"""Who an access key belongs to, and the signing keys derived from it; both remembered for a while. No HTTP here."""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass

from kenja.kernel.context import Principal
from kenja.kernel.identity.accounts import Accounts
from kenja.kernel.identity.sessions import BadToken, Sessions

_FRESH = 5.0  # seconds for which a long-lived key is not read again
_MOST = 4096  # entries of each memory; a full one starts anew
_SESSION_PREFIX = "ASIA"  # IAM User Guide, "Unique identifiers": temporary keys


class UnknownKey(Exception):  # noqa: N818 - becomes the service's own error
    """Nobody has this access key."""


class ExpiredToken(Exception):  # noqa: N818 - becomes the service's own error
    """The session ended."""


@dataclass(frozen=True, slots=True)
class Held:
    """A caller's key. `until` is when it must be looked up again, or when its session ends."""

    secret: str
    principal: Principal
    until: float  # seconds since the epoch


class KeyRing:
    """Thread safe: memories are dicts whose entries are written whole and may be computed twice."""

    def __init__(self, accounts: Accounts, sessions: Sessions) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._held: dict[tuple[str, str], Held] = {}
        self._signing: dict[tuple[str, str], bytes] = {}

    def hold(self, access_key: str, token: str, now: float) -> Held:
        """The key that a request names. Raises UnknownKey, BadToken or ExpiredToken."""
        held = self._held.get((access_key, token))
        if held is not None and now < held.until:
            return held
        held = self._session(access_key, token, now) if access_key.startswith(_SESSION_PREFIX) else None
        held = held or self._long_lived(access_key, token, now)
        if len(self._held) >= _MOST:
            self._held.clear()
        self._held[access_key, token] = held
        return held

    def signing_key(self, held: Held, scope: str) -> bytes:
        """The key that signs requests of `scope` ("date/region/service/aws4_request"); derived once a day and scope."""
        place = (held.principal.access_key, scope)
        key = self._signing.get(place)
        if key is None:
            key = b"AWS4" + held.secret.encode()
            for part in scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            if len(self._signing) >= _MOST:
                self._signing.clear()
            self._signing[place] = key
        return key

    def _session(self, access_key: str, token: str, now: float) -> Held:
        if not token:
            raise UnknownKey(access_key)
        session = self._sessions.read(token, access_key)
        if now >= session.expires:
            raise ExpiredToken(access_key)
        return Held(self._sessions.secret(access_key), session.principal, session.expires)

    def _long_lived(self, access_key: str, token: str, now: float) -> Held:
        key = self._accounts.key(access_key)
        if key is None:
            raise UnknownKey(access_key)
        if token:
            raise BadToken("a long-lived access key has no session token")
        return Held(key.secret, key.principal, math.floor(now) + _FRESH)
