"""Clients that signed a moment ago: their next request is verified by what the last one taught. No refusals here.

A signature in the Authorization header says the same in each request of a client, all but the signature itself. Who is
not known, or differs in anything, is sigv4.py's, which alone decides what is wrong with a request.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from operator import itemgetter
from typing import NamedTuple

from kenja.kernel.context import Principal
from kenja.kernel.identity import canonical
from kenja.kernel.identity.keyring import Held
from kenja.kernel.identity.proof import ALGORITHM, UNSIGNED
from kenja.kernel.identity.signer import Signer
from kenja.kernel.identity.sigv4 import MAX_SKEW, Claim, seconds

_MOST = 4096  # clients; a full memory starts anew
_DIGITS = 64  # of a signature
_BEFORE = b"Signature="

Lookup = tuple[bytes, bytes]  # an Authorization header without its signature, a session token


class _Moment(NamedTuple):
    """One second of a client: requests that bear its timestamp."""

    stamp: bytes | None
    earliest: float  # seconds since the epoch between which a request of that second is taken
    latest: float
    signer: Signer | None  # past all that stands before the canonical request's hash


class _Acquaintance:
    """What a verified request taught. Threads may learn a moment twice."""

    __slots__ = ("claim", "date", "form", "held", "moment", "signer", "values")

    def __init__(self, claim: Claim, held: Held, key: bytes) -> None:
        self.claim = claim
        self.held = held
        self.signer = Signer(key)
        self.date = claim.date.encode("latin-1")
        names = [name.encode("latin-1") for name in claim.names]
        self.values = itemgetter(*names)  # of the headers that are signed
        lines = b"".join([name.replace(b"%", b"%%") + b":%b\n" for name in names])
        self.form = lines + b"\n" + claim.signed.encode("latin-1").replace(b"%", b"%%") + b"\n"
        self.moment = _Moment(None, 0.0, 0.0, None)

    def at(self, stamp: bytes) -> _Moment:
        """The second that a timestamp names; one that takes no request when it names none, or one of another day."""
        text = stamp.decode("latin-1")
        second = seconds(text)
        if second is None or not stamp.startswith(self.date):
            return _Moment(stamp, 0.0, 0.0, None)
        signer = self.signer.after(f"{ALGORITHM}\n{text}\n{self.claim.scope}\n".encode())
        self.moment = _Moment(stamp, second - MAX_SKEW, second + MAX_SKEW, signer)
        return self.moment


class Acquaintances:
    """Thread safe: a dict whose entries are written whole."""

    def __init__(self) -> None:
        self._known: dict[Lookup, _Acquaintance] = {}

    def learn(self, headers: Mapping[bytes, bytes], claim: Claim, held: Held, key: bytes) -> None:
        """Remember the client of a request that sigv4.py has verified."""
        authorization = headers[b"authorization"]
        head = authorization[:-_DIGITS]
        if authorization.find(_BEFORE) != len(head) - len(_BEFORE):
            return  # spelt in a way of its own
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[head, headers.get(b"x-amz-security-token", b"")] = _Acquaintance(claim, held, key)

    def recognise(
        self, service: str, method: str, path: str, headers: Mapping[bytes, bytes], body: bytes, now: float
    ) -> tuple[Principal, str] | None:
        """Caller and region when a request without a query is signed by someone known; None says nothing about it."""
        authorization = headers.get(b"authorization", b"")
        known = self._known.get((authorization[:-_DIGITS], headers.get(b"x-amz-security-token", b"")))
        stamp = headers.get(b"x-amz-date")
        if known is None or known.claim.service != service or now >= known.held.until:
            return None
        if stamp is None or b"x-amz-target" in headers:
            return None
        moment = known.moment
        if stamp != moment.stamp:
            moment = known.at(stamp)
        if moment.signer is None or not moment.earliest <= now <= moment.latest:
            return None
        payload = sha256(body).hexdigest().encode()
        if b"x-amz-content-sha256" in headers:
            claimed = headers[b"x-amz-content-sha256"]
            if claimed not in (payload, UNSIGNED.encode()):
                return None
            payload = claimed
        try:
            lines = known.form % known.values(headers)
        except KeyError:  # a signed header is not there
            return None
        if canonical.loose_octets(lines):
            return None
        request = b"%b\n%b\n\n%b%b" % (method.encode(), canonical.path(path).encode(), lines, payload)
        wanted = moment.signer.sign(sha256(request).hexdigest().encode())
        if hmac.compare_digest(wanted.encode(), authorization[-_DIGITS:]):
            return known.held.principal, known.claim.region
        return None
