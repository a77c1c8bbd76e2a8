"""Identity: accounts, access keys, sessions, signatures and permissions. Knows no HTTP server and no service's handlers."""

from kenja.kernel.identity.accounts import RootKeys
from kenja.kernel.identity.chunks import ChunkVerifier
from kenja.kernel.identity.identity import CREDENTIALS_PATH, Identity
from kenja.kernel.identity.policies import Decision, Policy
from kenja.kernel.identity.proof import Authenticated, Expected, Incoming
from kenja.kernel.identity.refusals import Dialect
from kenja.kernel.identity.roles import DEFAULT_ROLE
from kenja.kernel.identity.sessions import Credentials

__all__ = [
    "CREDENTIALS_PATH",
    "DEFAULT_ROLE",
    "Authenticated",
    "ChunkVerifier",
    "Credentials",
    "Decision",
    "Dialect",
    "Expected",
    "Identity",
    "Incoming",
    "Policy",
    "RootKeys",
]
