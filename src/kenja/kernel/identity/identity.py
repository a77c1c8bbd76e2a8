"""Who calls, and what they may do: the one door to accounts, keys, sessions, signatures and policies.

Until the issue on identity every valid key may do everything in its account: `decide` evaluates one open policy. The
step itself is real; every call passes `authorize`, and SimulatePrincipalPolicy asks the same `decide`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kenja.core.clock import Clock, utc
from kenja.core.config import DEFAULT_ACCOUNT
from kenja.core.errors import ServiceError
from kenja.kernel.context import Principal
from kenja.kernel.identity import accounts, actions, bearer, forms, policies, roles, sigv2, sigv4
from kenja.kernel.identity.acquaintances import Acquaintances
from kenja.kernel.identity.keyring import KeyRing
from kenja.kernel.identity.policies import Decision, Policy
from kenja.kernel.identity.proof import Authenticated, Expected, Incoming
from kenja.kernel.identity.refusals import Dialect, refusal
from kenja.kernel.identity.sessions import BadToken, Credentials, Sessions
from kenja.kernel.resources.store import Store

if TYPE_CHECKING:
    from kenja.kernel.context import Context

JOB_SESSION = 60 * 60  # seconds that a job's keys live; its client fetches new ones 15 minutes before
SHELL_SESSION = (
    7 * 24 * 60 * 60
)  # seconds that the keys of `kenja env` live: longer than AWS's, so that a shell stays usable
CREDENTIALS_PATH = "/_kenja/credentials/"
_OPEN = Policy(
    "KenjaOpenAccess", "none", (policies.Statement(True, ("*",), None, ("*",), None, None),)
)  # every valid key may do all
_SERVICE_SESSIONS = {"sagemaker": "SageMaker"}  # session name under which a service acts as a role


class Identity:
    """Thread safe; every process of a server has one on the same store, and any of them verifies what another gave out."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._accounts = accounts.Accounts(store)
        self._acquaintances = Acquaintances()

    @cached_property
    def _sessions(self) -> Sessions:
        return Sessions(self._store.secret("identity", secrets.token_urlsafe(48)))

    @cached_property
    def _ring(self) -> KeyRing:
        return KeyRing(self._accounts, self._sessions)

    # Accounts

    def ensure_root_credentials(self, data: Path) -> accounts.RootKeys:
        """The root keys of account 000000000000, made at the first start and written to DATA/credentials.

        Of processes that start together, on one data folder or one database, all end with the same keys.
        """
        keys = self._accounts.ensure()
        roles.find(self._store, keys.account, roles.DEFAULT_ROLE)
        accounts.write_credentials(data, keys)
        return keys

    def create_account(self, account: str | None = None) -> accounts.RootKeys:
        """A new account with its root keys and its default role. Raises ValueError for a bad or taken number."""
        keys = self._accounts.create(account)
        roles.find(self._store, keys.account, roles.DEFAULT_ROLE)
        return keys

    def accounts(self) -> list[str]:
        """The numbers of all accounts, oldest first."""
        return self._accounts.all()

    # Signatures

    def authenticate(self, request: Incoming, expected: Expected, bucket: str = "") -> Authenticated:
        """Who signed a request, by header or query. Raises ServiceError in the words of the addressed service.

        Where the signature covers the body, the answer's `check` must be called with the body's hash as well. `bucket`
        is the one that the host names, if any.
        """
        now = self._clock.wall()
        by_header = bool(request.headers.get("authorization"))
        by_query = "X-Amz-Signature=" in request.query or "X-Amz-Algorithm=" in request.query
        if by_header:
            if by_query and expected.dialect == "s3":
                message = (
                    "Only one auth mechanism is allowed: the Authorization header or a signature in the query string."
                )
                raise refusal("s3", "bad_argument", message)
            return sigv4.header(request, self._ring, expected, now)
        if by_query:
            return sigv4.presigned(request, self._ring, expected, now)
        if expected.dialect == "s3" and "AWSAccessKeyId=" in request.query:
            return sigv2.presigned(request, self._ring, now, bucket)
        text = "Access Denied" if expected.dialect == "s3" else "Request is missing Authentication Token"
        raise refusal(expected.dialect, "missing", text)

    def verify_form(self, fields: Mapping[str, str]) -> tuple[Principal, str]:
        """Who signed the policy of a browser's form, and for which region. Raises ServiceError as S3 words it.

        `fields` have lower-case names; `policy` is one of them.
        """
        return forms.verify(fields, self._ring, self._clock.wall())

    def verify_fast(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[bytes, bytes],
        body: bytes,
        service: str = "sagemaker",
        dialect: Dialect = "rest-json",
    ) -> tuple[Principal, str]:  # fmt: skip
        """Caller and region of a complete request whose header names and values are lower-case and raw bytes.

        For services other than S3, signed by header. Raises ServiceError. Repeated headers must be joined by b",".
        """
        now = self._clock.wall()
        if not query:
            caller = self._acquaintances.recognise(service, method, path, headers, body, now)
            if caller is not None:
                return caller
        view = _ByteHeaders(headers)
        proof, held, claim = sigv4.prove(method, path, query, view, self._ring, Expected(dialect, service), now)
        payload = view.get("x-amz-content-sha256", "")
        actual = hashlib.sha256(body).hexdigest() if payload != "UNSIGNED-PAYLOAD" else payload
        proof.check(payload or actual)
        if payload and payload != actual:
            raise refusal(dialect, "payload", "The 'x-amz-content-sha256' header does not match the body.")
        self._acquaintances.learn(headers, claim, held, proof.signing_key)
        return held.principal, claim.region

    # Sessions

    def begin_session(self, account: str, role: str, role_id: str, session: str, duration: float) -> Credentials:
        """Temporary keys of a role, for `duration` seconds from now."""
        principal = roles.session_principal(account, role, role_id, session)
        return self._sessions.begin(account, principal.arn, principal.user_id, self._clock.wall() + duration)

    def begin_copy(self, principal: Principal, duration: float) -> Credentials:
        """Temporary keys of a caller itself, for `duration` seconds from now."""
        expires = self._clock.wall() + duration
        return self._sessions.begin(principal.account, principal.arn, principal.user_id, expires)

    def execution_role_session(self, account: str = DEFAULT_ACCOUNT, session: str = "kenja") -> Credentials:
        """Keys of the account's KenjaExecutionRole, as `kenja env` exports them. Raises ValueError for no account."""
        if account != DEFAULT_ACCOUNT and account not in self.accounts():
            raise ValueError(f"there is no account {account!r}; `kenja accounts list` shows all")
        role = roles.find(self._store, account, roles.DEFAULT_ROLE)
        assert role is not None
        return self.begin_session(account, roles.DEFAULT_ROLE, role.body["RoleId"], session, SHELL_SESSION)

    # Bearer tokens

    def bearer_token(self, account: str, region: str, duration: float = bearer.LIFE) -> str:
        """A token that acts as the account's KenjaExecutionRole. Raises ValueError for no account."""
        principal = self.execution_role_session(account, "bearer").principal
        return bearer.issue(self._sessions, principal, region, self._clock.wall() + duration)

    def bear(self, token: str, dialect: Dialect, *, secure: bool) -> tuple[Principal, str]:
        """Who bears a token, and its region. Raises ServiceError, also when it did not come over TLS."""
        found = bearer.accept(self._sessions, token, dialect, self._clock.wall(), secure=secure)
        return found.principal, found.region

    def knows_bearer(self, token: str) -> bool:
        """Whether a token is one of this platform's."""
        try:
            bearer.read(self._sessions, token)
        except BadToken:
            return False
        return True

    def service_session(self, role_arn: str, service_name: str) -> Principal:
        """The principal as which a service acts on a role's behalf. Raises ValueError for what is no role's ARN."""
        role = self._role(role_arn)
        session = _SERVICE_SESSIONS.get(service_name, service_name)
        return roles.session_principal(role.account, role.name, self._role_id(role), session)

    def passed_role_problem(self, principal: Principal, role_arn: str) -> str:
        """Why a caller may not give this role to a service, as a sentence; "" when it may.

        A role of another account never passes: accounts are separate worlds.
        """
        role = roles.parse(role_arn)
        if role is None:
            return f"{role_arn!r} is not the ARN of a role; it must be like arn:aws:iam::123456789012:role/Name."
        if role.account != principal.account:
            return f"Cross-account pass role is not allowed: {role_arn} is not a role of account {principal.account}."
        if not self.decide(principal, "iam:PassRole", role_arn).allowed:
            return f"User: {principal.arn} is not authorized to perform: iam:PassRole on resource: {role_arn}"
        return ""

    # Credentials of jobs

    def container_credentials_token(self, account: str, role_arn: str, region: str, job_id: str) -> tuple[str, str]:
        """(path on this server, authorization token) with which a job fetches its role's keys, as often as it likes."""
        role = self._role(role_arn)
        if role.account != account:
            raise ValueError(f"{role_arn} is not a role of account {account}")
        claims: dict[str, object] = {"job": job_id, "role": role_arn, "region": region}
        path_id = base64.urlsafe_b64encode(hashlib.sha256(job_id.encode()).digest()[:12]).decode()
        return f"{CREDENTIALS_PATH}{path_id}", self._sessions.seal({**claims, "at": path_id})

    def container_credentials(self, path_id: str, authorization: str) -> dict[str, str]:
        """Fresh keys as botocore's container provider reads them. Raises ServiceError for a token of another job."""
        try:
            claims = self._sessions.open(authorization)
        except BadToken:
            claims = {}
        if not hmac.compare_digest(claims.get("at", "").encode(), path_id.encode("utf-8", "replace")) or not path_id:
            message = "The Authorization header is not the token that was given to this job."
            raise ServiceError("AccessDenied", message, status=403)
        role = self._role(claims["role"])
        keys = self.begin_session(role.account, role.name, self._role_id(role), claims["job"][:64], JOB_SESSION)
        return {
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "Token": keys.session_token,
            "Expiration": utc(keys.expires).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "RoleArn": claims["role"],
            "AccountId": role.account,
        }

    # Permissions

    def authorize(self, context: Context, request: Mapping[str, Any]) -> None:
        """The step that every call passes. Raises the service's access-denied error."""
        if context.principal.anonymous:
            if not context.service.judges_anonymous:
                raise context.error("denied", "Access Denied")
            return
        action = actions.action(context.service.arn_service, context.operation)
        if action in actions.ALWAYS_ALLOWED:
            return
        resource = actions.resource(context, request)
        decision = self.decide(context.principal, action, resource)
        if not decision.allowed:
            why = (
                "with an explicit deny" if decision.effect == "explicitDeny" else "because no policy allows the action"
            )
            who = context.principal.arn
            message = f"User: {who} is not authorized to perform: {action} on resource: {resource} {why}"
            raise context.error("denied", message)

    def decide(self, principal: Principal, action: str, resource: str, extra: Sequence[Policy] = ()) -> Decision:
        """Whether a principal may do something; `extra` are policies that a simulation adds to its own."""
        return policies.evaluate((*self._policies_of(principal), *extra), action, resource)

    def _policies_of(self, _principal: Principal) -> tuple[Policy, ...]:
        return (_OPEN,)

    def _role(self, role_arn: str) -> roles.RoleArn:
        role = roles.parse(role_arn)
        if role is None:
            raise ValueError(f"{role_arn!r} is not the ARN of a role")
        return role

    def _role_id(self, role: roles.RoleArn) -> str:
        """The id of a role's row; a name that has none keeps an id of its own."""
        record = roles.find(self._store, role.account, role.name)
        if record is not None:
            return str(record.body["RoleId"])
        digest = hashlib.sha256(f"{role.account}/{role.name}".encode()).digest()
        return "AROA" + base64.b32encode(digest).decode()[:17]


class _ByteHeaders:
    """Raw headers read by name, each decoded when asked for."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        self._headers = headers

    def get(self, name: str, default: str, /) -> str:
        value = self._headers.get(name.encode())
        return default if value is None else value.decode("latin-1")
