"""The environment of a command that is to meet Kenja where it looks for AWS: proxy, trust, keys, and no word of the user's own.

Clients that honour AWS_ENDPOINT_URL come straight here, without TLS. The proxy gets the rest: addresses that an SDK has
written into its code, services with host prefixes, other hosts. Services that take bearer tokens are met by https, because clients
send tokens over nothing else.
"""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore

from kenja.cli import env
from kenja.core import ids
from kenja.kernel.kernel import Kernel
from kenja.server.chain import hosts, route
from kenja.server.presence import Presence
from kenja.server.tls import Authority

_DROPPED = (  # the user's own AWS: who he is there, and where it is to be found
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION", "AWS_CREDENTIAL_FILE",
    "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_ACCOUNT_ID", "BOTO_CONFIG", "ALL_PROXY", "all_proxy",
)  # fmt: skip
_DROPPED_PREFIXES = ("AWS_ENDPOINT_URL", "AWS_CONTAINER_", "AWS_EC2_METADATA_")
_TOKEN = "AWS_BEARER_TOKEN_"  # noqa: S105 - how variables with tokens begin
_TRUST = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")  # botocore; requests; OpenSSL; curl
PREFIXED = (  # services whose models put something before their host in some operations, which no address of ours can bear
    "connecthealth", "dataexchange", "deadline", "devops-agent", "healthlake", "iotsitewise", "iottwinmaker",
    "lakeformation", "location", "logs", "medical-imaging", "mwaa", "neptune-graph", "omics", "rum", "s3control",
    "servicediscovery", "signer", "stepfunctions", "workspaces-thin-client",
)  # fmt: skip
_DIRECT = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class World:
    """Which server, region and account a command is to see."""

    server: Presence
    region: str
    account: str


@contextmanager
def prepared(kernel: Kernel, world: World, given: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The command's environment, made of the `given` one; its files last as long as the block. Raises ValueError."""
    data = kernel.config.data
    folder = data / "run" / "clients" / f"{os.getpid()}-{ids.token(8)}"
    folder.mkdir(parents=True, mode=0o700)
    try:
        kept = {name: value for name, value in given.items() if not _is_dropped(name)}
        keys = env.client(kernel, world.region, world.account)
        trust = _trust(Authority(data / "tls", kernel.clock), folder, given)
        tokens = _tokens(kernel, world, given)
        yield {**kept, **_way(world, given), **trust, **keys, **_files(folder, keys, given), **tokens}
    finally:
        shutil.rmtree(folder)


def _is_dropped(name: str) -> bool:
    return name in _DROPPED or name.startswith(_DROPPED_PREFIXES)


def _way(world: World, given: Mapping[str, str]) -> dict[str, str]:
    """Endpoints and proxies."""
    place = f"http://{world.server.authority}"
    own = [entry.strip() for entry in (given.get("no_proxy") or given.get("NO_PROXY") or "").split(",")]
    direct = ",".join(
        [*_DIRECT, *(entry for entry in own if entry and entry not in _DIRECT and not _covers_aws(entry))]
    )
    way = {"AWS_ENDPOINT_URL": place, "AWS_EC2_METADATA_DISABLED": "true", "NODE_USE_ENV_PROXY": "1"}
    for name, value in (("HTTP_PROXY", place), ("HTTPS_PROXY", place), ("NO_PROXY", direct)):
        way |= {name: value, name.lower(): value}
    for service, metadata in hosts.bearer_services().items():
        way[_endpoint_of(metadata)] = f"https://{world.server.authority}{route.PIN}{service}"
    for service in PREFIXED:  # these stay at AWS's own address, and the proxy brings them here
        metadata = hosts.metadata(service)
        way[_endpoint_of(metadata)] = f"https://{metadata['endpointPrefix']}.{world.region}.amazonaws.com"
    return way


def _endpoint_of(metadata: Mapping[str, Any]) -> str:
    """The variable that tells SDKs the endpoint of one service; AWS SDKs and Tools Reference, "Service-specific endpoints"."""
    return "AWS_ENDPOINT_URL_" + str(metadata["serviceId"]).upper().replace(" ", "_").replace("-", "_")


def _covers_aws(entry: str) -> bool:
    """Whether an entry of NO_PROXY would let AWS's names, or the metadata addresses, past the proxy."""
    name = entry.lower().removeprefix("*").lstrip(".")
    if not name or name in hosts.METADATA or hosts.parse(name) is not None:
        return True
    return any(suffix == name or suffix.endswith(f".{name}") for suffix in hosts.suffixes())


def _trust(authority: Authority, folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """One bundle for all clients: what the user trusts already, and this machine's authority."""
    bundle = folder / "trusted.pem"
    chosen = dict.fromkeys(given[name] for name in _TRUST if given.get(name) and Path(given[name]).is_file())
    system = ssl.get_default_verify_paths().cafile
    own = str(Path(botocore.__file__).with_name("cacert.pem"))
    sources = [Path(path) for path in chosen] or [Path(system if system and Path(system).is_file() else own)]
    bundle.write_bytes(b"\n".join([*(path.read_bytes() for path in sources), authority.file.read_bytes()]))
    return {**dict.fromkeys(_TRUST, str(bundle)), "NODE_EXTRA_CA_CERTS": str(authority.file)}


def _files(folder: Path, keys: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """AWS's two files, so that ~/.aws is neither read nor written; the user's profile by name, with our keys."""
    profiles = dict.fromkeys(["default", given.get("AWS_PROFILE") or given.get("AWS_DEFAULT_PROFILE") or "default"])
    settings, secrets = folder / "config", folder / "credentials"
    settings.write_text("".join(_profile(name, {"region": keys["AWS_REGION"]}, "profile ") for name in profiles))
    secret = {name.lower(): keys[name] for name in env.KEYS}
    secrets.touch(mode=0o600)
    secrets.write_text("".join(_profile(name, secret, "") for name in profiles))
    return {"AWS_CONFIG_FILE": str(settings), "AWS_SHARED_CREDENTIALS_FILE": str(secrets)}


def _profile(name: str, values: Mapping[str, str], word: str) -> str:
    title = name if name == "default" else f"{word}{name}"
    return f"[{title}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


def _tokens(kernel: Kernel, world: World, given: Mapping[str, str]) -> dict[str, str]:
    """A token of Kenja in the place of each of AWS's; the user may have put one of Kenja there himself."""
    foreign = [
        name for name, value in given.items() if name.startswith(_TOKEN) and not kernel.identity.knows_bearer(value)
    ]
    if not foreign:
        return {}
    return dict.fromkeys(foreign, kernel.identity.bearer_token(world.account, world.region))
