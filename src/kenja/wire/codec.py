"""One service in one protocol: requests to operations and values, results and errors to responses. Protocols are in `protocols/`.

A protocol is added by adding `protocols/<name>.py` whose `CODEC` is a subclass of `Codec`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from botocore.model import OperationModel, ServiceModel

from kenja.wire.errors import Malformed
from kenja.wire.faults import Fault, FaultTable
from kenja.wire.message import Request, Response

Reader = Callable[[Request, Mapping[str, str]], dict[str, Any]]
Writer = Callable[[Mapping[str, Any], str], Response]

_PROTOCOLS = "kenja.wire.protocols."


class Compiled(NamedTuple):
    """What one operation needs."""

    read: Reader
    write: Writer


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is told of an error beside its kind."""

    message: str
    fields: Mapping[str, Any]  # its other members
    request_id: str
    method: str  # of the request: an answer to HEAD has no body


class Codec(ABC):
    """Thread-safe. Operations are compiled on first use."""

    def __init__(self, model: ServiceModel, version: str = "") -> None:
        self.model = model
        self.version = version  # of JSON: the request's, which the answer repeats
        self.faults = FaultTable(model)
        self._operations: dict[str, Compiled] = {}

    @abstractmethod
    def route(self, request: Request) -> tuple[str, dict[str, str]] | None:
        """Operation name and path parameters; None if the service has no such operation."""

    def parse(self, operation: str, request: Request, path_parameters: Mapping[str, str]) -> dict[str, Any]:
        """The request's values by member name; raises Malformed and nothing else, whatever the client sent."""
        try:
            return self._compiled(operation).read(request, path_parameters)
        except RecursionError:
            raise Malformed("The request is nested too deeply.") from None

    def serialize(self, operation: str, result: Mapping[str, Any], request_id: str) -> Response:
        """A result as an answer; required members that it lacks are filled (see `shapes.fillers`)."""
        return self._compiled(operation).write(result, request_id)

    def error(
        self,
        code: str,
        message: str,
        *,
        fields: Mapping[str, Any] | None = None,
        status: int | None = None,
        request_id: str = "",
        method: str = "",
    ) -> Response:
        """An error as an answer; `fields` are the error's other members, `method` is the request's."""
        return self.refuse(self.faults.find(code, status), Refusal(message, fields or {}, request_id, method))

    @abstractmethod
    def refuse(self, fault: Fault, refusal: Refusal) -> Response:
        """What `error` answers, in this protocol."""

    @abstractmethod
    def reader(self, operation: OperationModel) -> Reader:
        """Compiles an operation's input."""

    @abstractmethod
    def writer(self, operation: OperationModel) -> Writer:
        """Compiles an operation's output."""

    def _compiled(self, operation: str) -> Compiled:
        found = self._operations.get(operation)
        if found is None:
            model = self.model.operation_model(operation)
            found = self._operations[operation] = Compiled(self.reader(model), self.writer(model))
        return found


@cache
def codec(model: ServiceModel, protocol: str) -> Codec:
    """The codec for what `select` found or a protocol's name; raises LookupError if the service does not speak it."""
    chosen = resolve(model, protocol)
    if chosen is None:
        listed = ", ".join(protocols(model))
        raise LookupError(f"{model.service_name} does not speak {protocol}; it speaks {listed}.")
    family, _, version = chosen.partition("-") if chosen.startswith("json-") else (chosen, "", "")
    module = import_module(_PROTOCOLS + family.replace("-", "_"))
    made: Codec = module.CODEC(model, version)
    return made


def protocols(model: ServiceModel) -> list[str]:
    """The protocols that a service speaks here: those its model lists and this package has."""
    listed: list[str] = model.metadata.get("protocols") or [model.metadata["protocol"]]
    return [name for name in listed if find_spec(_PROTOCOLS + name.replace("-", "_")) is not None]


@cache
def resolve(model: ServiceModel, protocol: str) -> str | None:
    """The service's protocol for what `select` found: `rest` becomes its own kind; other marks may be strays on REST."""
    spoken = protocols(model)
    if protocol in spoken or (protocol.startswith("json-") and "json" in spoken):
        return protocol
    if protocol == "query" and "ec2" in spoken:
        return "ec2"
    return next((name for name in spoken if name.startswith("rest-")), None)
