"""AWS's protocols, server side, compiled from botocore's service models. No sockets, no state, no service's behaviour."""

from kenja.wire.codec import Codec, codec, resolve
from kenja.wire.errors import Malformed
from kenja.wire.message import Body, FileRange, MemoryBody, Request, Response
from kenja.wire.models import load
from kenja.wire.select import select
from kenja.wire.validate import summary, violations

__all__ = [
    "Body",
    "Codec",
    "FileRange",
    "Malformed",
    "MemoryBody",
    "Request",
    "Response",
    "codec",
    "load",
    "resolve",
    "select",
    "summary",
    "violations",
]
