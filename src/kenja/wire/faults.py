"""How an error code looks on the wire of one service: its shape, code and status. Not how a protocol writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.model import ServiceModel, StructureShape


@dataclass(frozen=True)
class Fault:
    """One error, resolved; `shape` is None for a code that the model does not list."""

    name: str  # the shape's name: what JSON protocols write
    code: str  # the code of query, XML and headers
    status: int
    shape: StructureShape | None

    @property
    def sender(self) -> bool:
        """Whether the caller is at fault."""
        return self.status < 500

    @property
    def query_error(self) -> str:
        """What `x-amzn-query-error` says where a service has left the query protocol (trait awsQueryCompatible)."""
        return f"{self.code};{'Sender' if self.sender else 'Receiver'}"

    def members(self, message: str, fields: Mapping[str, Any] | None) -> dict[str, Any]:
        """The fields with the message under the model's own spelling."""
        spelling = "message"
        if self.shape is not None and "message" not in self.shape.members and "Message" in self.shape.members:
            spelling = "Message"
        return {**(fields or {}), spelling: message}


class FaultTable:
    """Errors of one service model, by shape name or wire code."""

    def __init__(self, model: ServiceModel) -> None:
        self._shapes: dict[str, StructureShape] = {}
        for shape in model.error_shapes:
            self._shapes.setdefault(shape.error_code, shape)
        for shape in model.error_shapes:
            self._shapes[shape.name] = shape

    def find(self, code: str, status: int | None) -> Fault:
        """`status` wins over the model's; an unlisted code is the caller's fault (400) unless it says otherwise."""
        shape = self._shapes.get(code)
        if shape is None:
            return Fault(code, code, status or 400, None)
        declared = shape.metadata.get("error", {})
        return Fault(shape.name, shape.error_code, status or declared.get("httpStatusCode") or 400, shape)
