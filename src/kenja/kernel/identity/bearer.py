"""Bearer tokens, which AWS calls API keys: sealed claims that say as whom a request acts. They are not session tokens."""

from __future__ import annotations

from dataclasses import dataclass

from kenja.kernel.context import Principal
from kenja.kernel.identity.refusals import Dialect, refusal
from kenja.kernel.identity.sessions import BadToken, Sessions

PREFIX = "kenja-api-key-"
LIFE = 12 * 60 * 60  # seconds; what AWS's short-term keys live at most: Amazon Bedrock User Guide, "API keys"
LONGEST = 365 * 24 * 60 * 60  # seconds
_USE = "bearer"  # tells the claims from those of sessions and jobs, which the same secret seals


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a token says."""

    principal: Principal
    region: str  # where it acts when the request's host names no region
    expires: float  # seconds since the epoch


def issue(sessions: Sessions, principal: Principal, region: str, expires: float) -> str:
    """A token for a principal."""
    claims = {"use": _USE, "account": principal.account, "arn": principal.arn, "id": principal.user_id}
    return PREFIX + sessions.seal({**claims, "region": region, "until": int(expires)})


def read(sessions: Sessions, token: str) -> Bearer:
    """What a token says, expired or not. Raises BadToken for what is no bearer token of this platform."""
    if not token.startswith(PREFIX):
        raise BadToken(f"a token of this platform begins with {PREFIX}")
    claims = sessions.open(token.removeprefix(PREFIX))
    if claims.get("use") != _USE:
        raise BadToken("the token is not for bearing")
    principal = Principal(claims["account"], claims["arn"], claims["id"])
    return Bearer(principal, claims["region"], float(claims["until"]))


def accept(sessions: Sessions, token: str, dialect: Dialect, now: float, *, secure: bool) -> Bearer:
    """The bearer of a request's token. Raises ServiceError: what came over a plain connection is worth nothing any more."""
    if not secure:
        message = "Bearer tokens are accepted over TLS only; use the https address, as `kenja run` does."
        raise refusal(dialect, "bearer", message)
    try:
        found = read(sessions, token.strip())
    except BadToken:
        message = (
            "Authentication failed: Please make sure your API Key is valid. `kenja accounts token` makes one; those of "
            "AWS are not known here."
        )
        raise refusal(dialect, "bearer", message) from None
    if found.expires <= now:
        raise refusal(dialect, "bearer", "Bearer Token has expired; `kenja accounts token` makes a new one.")
    return found
