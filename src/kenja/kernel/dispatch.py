"""The way of every call once it is parsed: validate, authorise, recall, handle. HTTP and signatures are the server's."""

from __future__ import annotations

import hashlib
from typing import Any

from kenja.core.errors import ServiceError
from kenja.kernel.context import Context
from kenja.kernel.declare import Handler
from kenja.kernel.resources import documents
from kenja.wire import validate


def invoke(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of one operation. Raises ServiceError for what the caller can mend."""
    handler = _handler(context)
    shape = context.service.model.operation_model(context.operation).input_shape
    if shape is not None:
        problems = validate.violations(shape, request)
        if problems:
            raise context.error(_kind(context, problems), validate.summary(problems))
    context.kernel.identity.authorize(context, request)
    return _once(context, handler, request)


def _kind(context: Context, problems: list[str]) -> str:
    """The kind of error for broken constraints; a service may have one of its own for those in a body's document."""
    shape = context.service.model.operation_model(context.operation).input_shape
    payload = "" if shape is None else str(shape.serialization.get("payload", ""))
    inside = f"at '{payload[:1].lower()}{payload[1:]}."
    return (
        context.service.document_error if payload and all(inside in problem for problem in problems) else "validation"
    )


def _handler(context: Context) -> Handler:
    entry = context.service.operations.get(context.operation)
    if entry is None:
        raise ServiceError(
            "UnsupportedOperationException",
            f"Kenja does not serve {context.service.name}:{context.operation} yet (parity level 0). "
            f"`kenja operations {context.service.name}` lists what it does serve.",
            status=501,
        )
    return entry.handler


def _once(context: Context, handler: Handler, request: dict[str, Any]) -> dict[str, Any]:
    """Handle the call, or give the answer of the earlier one that had the same idempotency token."""
    member = _token_member(context)
    token = request.get(member) if member else None
    if token is None:
        return handler(context, request) or {}
    store = context.kernel.store
    operation = f"{context.service.name}:{context.operation}"
    digest = hashlib.sha256(documents.dumps(request).encode()).hexdigest()
    with store.transaction():
        earlier = store.remembered(context.scope, operation, token)
        if earlier is None:
            answer = handler(context, request) or {}
            store.remember(context.scope, operation, token, digest, answer)
            return answer
    if earlier[0] != digest:
        raise context.error(
            "idempotency",
            f"{member} {token!r} was used before with other parameters; use a new token for a new request.",
        )
    answer = earlier[1]
    assert isinstance(answer, dict)
    return answer


def _token_member(context: Context) -> str | None:
    operation = context.service.model.operation_model(context.operation)
    if operation.has_event_stream_output or operation.has_streaming_output:
        return None  # an answer that can be read once only can not be given again
    return operation.idempotent_members[0] if operation.idempotent_members else None
