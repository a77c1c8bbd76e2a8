"""Which service and protocol a request is for, from its head alone. The operation is found by the service's codec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from kenja.kernel.services import Manifest
from kenja.server.chain import bucket_hosts, hosts
from kenja.server.chain.head import Head
from kenja.wire import models
from kenja.wire.codec import codec, resolve
from kenja.wire.errors import Malformed
from kenja.wire.message import Request
from kenja.wire.select import rpc_names, select

PIN = "/_svc/"  # /_svc/NAME/… names the service itself


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes. `head` is the request as the service sees it, without a pin."""

    manifest: Manifest
    protocol: str  # as `kenja.wire.select` names it; the service's codec knows what "rest" means
    head: Head
    bucket: str = ""  # of S3, where the host names it
    region: str = ""  # where the host names one

    @property
    def path(self) -> str:
        """The path that the service knows, with the bucket of the host in front."""
        return f"/{self.bucket}{self.head.path}" if self.bucket else self.head.path


def find(head: Head, manifests: Mapping[str, Manifest]) -> Target | None:
    """The target of a request, or None when no served service is meant."""
    if head.path.startswith(PIN):
        name, _, rest = head.path[len(PIN) :].partition("/")
        manifest = manifests.get(name)
        return _target(manifest, replace(head, path=f"/{rest}")) if manifest else None
    if (host := hosts.parse(head.headers.get("host", ""))) is not None:
        return _addressed(head, host, manifests)
    if target := head.headers.get("x-amz-target"):
        prefix = target.rpartition(".")[0]
        return _first((m for m in manifests.values() if m.target_prefix and m.target_prefix == prefix), head)
    signing_name = signed_for(head)
    if signing_name is None:
        return (_bearing(head, manifests) if bears(head) else None) or _unsigned(head, manifests)
    return _first((m for m in manifests.values() if m.signing_name == signing_name), head)


def _addressed(head: Head, host: hosts.AwsHost, manifests: Mapping[str, Manifest]) -> Target | None:
    """Behind one of AWS's own names there is that service and no other."""
    addressed = hosts.served(host, manifests)
    if addressed is None:
        return None
    bucket = addressed.before if addressed.manifest.name == "s3" else ""
    return replace(_target(addressed.manifest, head), bucket=bucket, region=addressed.region)


def bears(head: Head) -> bool:
    """Whether a request is authenticated by a bearer token."""
    return head.headers.get("authorization", "")[:7].lower() == "bearer "


def _bearing(head: Head, manifests: Mapping[str, Manifest]) -> Target | None:
    """A bearer token names no service: the path tells, among those that take one."""
    return _first((manifests[name] for name in hosts.bearer_services() if name in manifests), head)


def signed_for(head: Head) -> str | None:
    """The service name in the credential scope of a signature, by header or query; "s3" for SigV2; None without one."""
    authorization = head.headers.get("authorization", "")
    if authorization.startswith("AWS "):
        return "s3"
    scope = authorization.partition("Credential=")[2].partition(",")[0]
    if not scope and head.query:
        query = dict(parse_qsl(head.query, keep_blank_values=True))
        if "AWSAccessKeyId" in query:
            return "s3"
        scope = query.get("X-Amz-Credential", "")
    parts = scope.split("/")
    return (
        parts[-2] if len(parts) >= 5 else None
    )  # a key id may hold a slash of its own; the service comes last but one


def _unsigned(head: Head, manifests: Mapping[str, Manifest]) -> Target | None:
    """An unsigned request still deserves its refusal in the right protocol."""
    form = head.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if form and not bucket_hosts.bucket(head.headers.get("host", "")):
        return _first((m for m in manifests.values() if m.name == "sts"), head)
    if (names := rpc_names(head.path)) and head.headers.get("smithy-protocol"):
        return _first((m for m in manifests.values() if m.target_prefix == names[0]), head)
    return _first((m for m in manifests.values() if m.name == "s3"), head)


def _first(candidates: Iterable[Manifest], head: Head) -> Target | None:
    """The candidate that serves the request's path; services that share a signing name differ by their paths."""
    targets = [_target(manifest, head) for manifest in candidates]
    if len(targets) > 1:
        targets = [target for target in targets if _speaks(target)] or targets
    return next((target for target in targets if len(targets) == 1 or _routes(target)), targets[0] if targets else None)


def _target(manifest: Manifest, head: Head) -> Target:
    protocol = select(head.headers, head.headers.get("content-type", ""), head.path, head.query)
    bucket = bucket_hosts.bucket(head.headers.get("host", "")) if manifest.name == "s3" else ""
    return Target(manifest, protocol, head, bucket)


def _speaks(target: Target) -> bool:
    return resolve(models.load(target.manifest.name), target.protocol) is not None


def _routes(target: Target) -> bool:
    head = target.head
    request = Request(head.method, target.path, head.query, dict(head.headers), b"")
    try:
        return _speaks(target) and codec(models.load(target.manifest.name), target.protocol).route(request) is not None
    except Malformed:
        return False
