"""What a service file is written in: Service, its operations and errors, and Resource. Declarations only; nothing runs here."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from botocore.model import ServiceModel

from kenja.core.errors import ServiceError
from kenja.kernel.resources.lifecycle import Lifecycle
from kenja.kernel.resources.store import Record
from kenja.wire import models

if TYPE_CHECKING:
    from kenja.kernel.context import Context
    from kenja.kernel.hosting.host import Host
    from kenja.kernel.jobs.driver import Driver

Handler = Callable[["Context", dict[str, Any]], dict[str, Any] | None]
AnyHandler = TypeVar("AnyHandler", bound=Callable[..., Any])
Kind = Literal["written", "derived"]
ScopeName = Literal["regional", "global", "partition"]


@dataclass(frozen=True)
class OperationEntry:
    """One operation that is served: who answers it, at which parity level, and where its code is."""

    name: str
    handler: Handler
    level: int
    kind: Kind
    file: str
    line: int


@dataclass(frozen=True)
class ErrorCode:
    """One row of `errors.toml`: AWS's code of a kind of error, and its HTTP status where the model has none."""

    code: str
    status: int | None = None


@dataclass(frozen=True)
class Resource:
    """A family of operations: Create, Describe, List, Update, Delete and Stop as far as the service model has them.

    Members, filters, summaries and outputs are read from the model; a declaration says only what the model does not.
    An operation that is written by hand with `@service.operation` always wins over the derived one.
    """

    kind: str  # as AWS's operations spell it: "TrainingJob"
    arn: str  # what follows the account: "training-job/{name}"
    lifecycle: Lifecycle | None = None
    driver: str | None = None  # the kind of job that brings it to life; queued in the transaction of Create
    check: Callable[[Context, dict[str, Any]], None] | None = None  # what the model's types can not say
    view: Callable[[Context, Record], dict[str, Any]] | None = None  # members of Describe and List that are computed
    guard: Callable[[Context, Record], None] | None = None  # refuses a Delete
    errors: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # kind -> (kind in errors.toml, message format)
    scope: ScopeName = "regional"
    plural: str = ""
    ascending: bool = False  # the order of a List that names none
    level: int = 3


class Service:
    """One AWS service as this platform answers it: a botocore model plus handlers; made once per service folder."""

    def __init__(self, package_file: str) -> None:
        """Read `service.toml` and `errors.toml` beside `package_file`, the package's `__init__.py`."""
        self.folder = Path(package_file).parent
        manifest = tomllib.loads((self.folder / "service.toml").read_text())
        self.name: str = manifest["name"]
        self.calls: frozenset[str] = frozenset(manifest.get("calls", ()))
        table = tomllib.loads((self.folder / "errors.toml").read_text())
        self.errors = {kind: ErrorCode(row["code"], row.get("status")) for kind, row in table.items()}
        self.operations: dict[str, OperationEntry] = {}
        self.resources: dict[str, Resource] = {}
        self.drivers: dict[str, Driver] = {}
        self.hosts: dict[str, Host] = {}
        self.document_error = "validation"  # the kind of error for broken constraints inside a body's document
        self.judges_anonymous = False  # True where the service itself decides what a caller without a signature may do

    @cached_property
    def model(self) -> ServiceModel:
        """The service's botocore model; loaded when first needed."""
        return models.load(self.name)

    @cached_property
    def arn_service(self) -> str:
        """The service part of its ARNs: the signing name, e.g. "sagemaker" for sagemaker-runtime too."""
        return str(self.model.metadata.get("signingName", self.model.endpoint_prefix))

    def operation(self, name: str, *, level: int = 3) -> Callable[[AnyHandler], AnyHandler]:
        """Register the handler of one operation by AWS's name for it; a name that the model lacks is an error."""

        def register(handler: AnyHandler) -> AnyHandler:
            self._serve(name, handler, level, "written")
            return handler

        return register

    def resource(self, resource: Resource) -> Resource:
        """Serve the operations of a resource that are not written by hand."""
        from kenja.kernel.resources import derive  # derive stands on the declarations in this module

        self.resources[resource.kind] = resource
        for name, handler in derive.operations(self, resource).items():
            self.derived(name, handler, level=resource.level)
        return resource

    def derived(self, name: str, handler: Handler, *, level: int = 3) -> None:
        """Serve an operation by a handler that the kernel made from the model; a written one wins."""
        if name not in self.operations:
            self._serve(name, handler, level, "derived")

    def driver(self, driver: Driver) -> Driver:
        """Register what runs the jobs of one kind."""
        self.drivers[driver.name] = driver
        return driver

    def host(self, host: Host) -> Host:
        """Register what runs the replicas of one kind."""
        self.hosts[host.name] = host
        return host

    def error(self, kind: str, message: str, **fields: Any) -> ServiceError:
        """The service's own error of a kind (`validation`, `not_found`, …) as `errors.toml` names it."""
        row = self.errors[kind]
        return ServiceError(row.code, message, status=row.status, fields=fields)

    def _serve(self, name: str, handler: Handler, level: int, kind: Kind) -> None:
        if name not in self.model.operation_names:
            raise LookupError(f"{self.name} has no operation {name!r}")
        present = self.operations.get(name)
        if present is not None and present.kind == "written":
            raise LookupError(f"{self.name}.{name} is written twice: {present.file}:{present.line}")
        code = inspect.unwrap(handler).__code__
        self.operations[name] = OperationEntry(name, handler, level, kind, code.co_filename, code.co_firstlineno)
