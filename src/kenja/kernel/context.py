"""What a handler is given besides its request: who calls, in which world, and the kernel to act with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kenja.core.errors import ServiceError
from kenja.kernel.declare import Service
from kenja.kernel.resources.store import Record, Scope

if TYPE_CHECKING:
    from kenja.kernel.kernel import Kernel

PARTITION = "aws"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts: an account's root, a user, or a session of a role."""

    account: str  # twelve digits
    arn: str
    user_id: str
    access_key: str = ""  # empty when the platform itself acts on a role's behalf

    @property
    def anonymous(self) -> bool:
        """Whether nobody in particular calls: a request without a signature."""
        return not self.account


ANONYMOUS = Principal("", "", "anonymous")


@dataclass(frozen=True, slots=True)
class HttpView:
    """What a handler may see of the HTTP request, where AWS's behaviour depends on it (S3 does, most services do not)."""

    method: str
    path: str  # raw, still percent-encoded
    query: str  # raw
    headers: Mapping[str, str]  # names in lower case
    base_url: str  # scheme, host and port that the client used
    client: str = ""  # the address that the request came from
    body: Callable[[], bytes] = bytes  # reads all of it, without its transfer coding; for operations of small bodies


@dataclass(frozen=True, slots=True)
class Context:
    """One call. Immutable; `acting_as` and `within` make others."""

    kernel: Kernel
    service: Service
    operation: str
    principal: Principal
    region: str
    request_id: str
    http: HttpView | None = None

    @property
    def account(self) -> str:
        """The account whose world this call sees."""
        return self.principal.account

    @property
    def scope(self) -> Scope:
        """Account and region: the world of regional resources."""
        return Scope(self.principal.account, self.region)

    @property
    def global_scope(self) -> Scope:
        """The world of resources that have no region, such as IAM's."""
        return Scope(self.principal.account, "")

    def arn(self, resource: str, *, region: str | None = None) -> str:
        """The ARN of something of this service: `resource` is what follows the account."""
        where = self.region if region is None else region
        return f"arn:{PARTITION}:{self.service.arn_service}:{where}:{self.account}:{resource}"

    def error(self, kind: str, message: str, **fields: Any) -> ServiceError:
        """An error of this call's service; `kind` is a row of its `errors.toml`."""
        return self.service.error(kind, message, **fields)

    def call(self, service: str, operation: str, /, **request: Any) -> dict[str, Any]:
        """Another service's operation, in process, as the same principal. Raises its ServiceError."""
        from kenja.kernel import calls

        return calls.call(self, service, operation, request)

    def acting_as(self, role_arn: str) -> Context:
        """The same call as a session of a role, as a service acts on the role's behalf."""
        return replace(self, principal=self.kernel.identity.service_session(role_arn, self.service.name))

    def record(self, kind: str, name: str) -> Record | None:
        """The resource of this service with this kind and name in this region, or None."""
        return self.kernel.store.get(self.scope, f"{self.service.name}:{kind}", name)
