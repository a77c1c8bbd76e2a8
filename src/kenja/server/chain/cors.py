"""Browsers of other origins: their preflight requests and the headers of their answers. The rules are S3's: `services.s3.cors`."""

from __future__ import annotations

from kenja.core.errors import ServiceError
from kenja.kernel.kernel import Kernel
from kenja.server.chain import errors
from kenja.server.chain.route import Target
from kenja.wire.codec import Codec
from kenja.wire.errors import Malformed
from kenja.wire.message import Response
from kenja.wire.router import decode


def concerns(target: Target) -> bool:
    """Whether a browser asks on behalf of a page of another origin."""
    return target.manifest.name == "s3" and "origin" in target.head.headers


def is_preflight(target: Target) -> bool:
    """Whether a request only asks what another one would be allowed."""
    return target.manifest.name == "s3" and target.head.method == "OPTIONS"


def preflight(kernel: Kernel, wire: Codec, target: Target, request_id: str) -> Response:
    """The answer to a preflight request."""
    from kenja.services.s3 import cors

    try:
        headers = cors.preflight(cors.rules(kernel, _bucket(target)), target.head.headers)
    except ServiceError as error:
        return errors.response(wire, error, target, request_id)
    return Response(200, {"x-amz-request-id": request_id, **headers})


def mark(kernel: Kernel, target: Target, response: Response) -> None:
    """Give an answer, an error's too, the headers without which a browser would keep it from the page."""
    from kenja.services.s3 import cors

    head = target.head
    response.headers.update(cors.headers(cors.rules(kernel, _bucket(target)), head.headers["origin"], head.method))


def _bucket(target: Target) -> str:
    try:
        bucket = decode(target.path.removeprefix("/").partition("/")[0])
    except Malformed:
        return ""
    return "" if "\0" in bucket else bucket
