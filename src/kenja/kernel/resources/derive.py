"""Create, Describe, List, Update, Delete and Stop of a resource, from its declaration and the service model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.model import StructureShape

from kenja.core.clock import utc
from kenja.kernel.resources import listing, tags
from kenja.kernel.resources.store import AlreadyExists, Record, Scope

if TYPE_CHECKING:
    from kenja.core.errors import ServiceError
    from kenja.kernel.context import Context
    from kenja.kernel.declare import Handler, Resource, Service

_WORDS = {  # kind of error -> (row of errors.toml, sentence); a Resource's own `errors` win
    "not_found": ("not_found", 'Could not find {kind} "{arn}".'),
    "duplicate": ("duplicate", 'Cannot create already existing {kind} "{arn}".'),
    "busy": ("in_use", 'Cannot delete {kind} "{arn}" while its status is {status}; stop it or wait until it ends.'),
    "stop": ("validation", "The request was rejected because the {kind} {name!r} is in status {status}."),
    "stale": ("conflict", "{kind} {name!r} was changed by another request meanwhile; describe it and try again."),
}


def operations(service: Service, resource: Resource) -> dict[str, Handler]:
    """The handlers of those of a resource's operations that the service model has."""
    family = Family(service, resource)
    derived: dict[str, Handler] = {
        f"Create{resource.kind}": family.create,
        f"Describe{resource.kind}": family.describe,
        f"List{family.plural}": family.list,
        f"Delete{resource.kind}": family.delete,
        f"Stop{resource.kind}": family.stop,
    }
    if resource.lifecycle is None:  # what runs is not changed by writing other words beside it: that needs code
        derived[f"Update{resource.kind}"] = family.update
    return {name: handler for name, handler in derived.items() if name in service.model.operation_names}


class Family:
    """The operations of one resource; hand-written ones use its parts."""

    def __init__(self, service: Service, resource: Resource) -> None:
        self.service = service
        self.resource = resource
        self.key = f"{service.name}:{resource.kind}"
        self.plural = resource.plural or f"{resource.kind}s"
        self.name_member = f"{resource.kind}Name"
        self.arn_member = f"{resource.kind}Arn"
        self.status_member = f"{resource.kind}Status"

    def create(self, context: Context, request: dict[str, Any]) -> dict[str, Any]:
        """Store the resource, its tags and the job that brings it to life, in one transaction."""
        resource, store = self.resource, context.kernel.store
        if resource.check is not None:
            resource.check(context, request)
        labels = tags.checked(context, request.get("Tags", []))
        body = {name: value for name, value in request.items() if name not in (self.name_member, "Tags")}
        name = request[self.name_member]
        status = resource.lifecycle.initial if resource.lifecycle else None
        record = Record(self.scope(context), self.key, name, self.arn(context, name), status, body)
        try:
            with store.transaction():
                record = store.insert(record, labels)
                if resource.driver is not None:
                    context.kernel.jobs.enqueue(record, resource.driver)
        except AlreadyExists:
            raise self.error(context, "duplicate", record) from None
        if resource.driver is not None:
            context.kernel.jobs.poke()
        return {self.arn_member: record.arn}

    def describe(self, context: Context, request: dict[str, Any]) -> dict[str, Any]:
        """Everything that is known of one resource."""
        return self.shown(context, self.find(context, request), f"Describe{self.resource.kind}")

    def list(self, context: Context, request: dict[str, Any]) -> dict[str, Any]:
        """One page of summaries; its cost does not depend on how many resources there are."""
        output = self._output(context.operation)
        items = next(name for name, shape in output.members.items() if shape.type_name == "list")
        try:
            query = listing.query(request, self.scope(context), self.key, ascending=self.resource.ascending)
        except listing.BadToken as error:
            raise context.error("validation", f"NextToken {error} is not one that this listing returned.") from None
        found, reached = context.kernel.store.scan(query)
        page = found[: query.limit - 1]
        summary = output.members[items].member
        answer: dict[str, Any] = {items: [self._view(context, record, summary) for record in page]}
        if len(found) > len(page):
            answer["NextToken"] = listing.token(page[-1], request)
        elif reached is not None:  # a filter that finds little in much: the page is short, as SageMaker's may be
            answer["NextToken"] = listing.encode(reached, listing.bound_to(request))
        return answer

    def update(self, context: Context, request: dict[str, Any]) -> dict[str, Any]:
        """Replace the members that the request names; refused when another request was faster."""
        record = self.find(context, request)
        members = {name: value for name, value in request.items() if name != self.name_member}
        if context.kernel.store.change(record, members=members) is None:
            raise self.error(context, "stale", record)
        return {self.arn_member: record.arn}

    def delete(self, context: Context, request: dict[str, Any]) -> dict[str, Any]:
        """Remove a resource that is not at work."""
        record = self.find(context, request)
        lifecycle = self.resource.lifecycle
        if lifecycle is not None and record.status in lifecycle.busy:
            raise self.error(context, "busy", record)
        if self.resource.guard is not None:
            self.resource.guard(context, record)
        context.kernel.store.delete(record)
        return {}

    def stop(self, context: Context, request: dict[str, Any]) -> dict[str, Any]:
        """Ask a running job to stop; its driver does the rest."""
        record, lifecycle = self.find(context, request), self.resource.lifecycle
        target = lifecycle.stopping if lifecycle is not None else None
        assert lifecycle is not None
        assert target is not None, f"{self.key} has nothing to stop"
        if record.status == target:
            return {}
        moved = context.kernel.store.change(record, status=target, sources=lifecycle.sources(target))
        if moved is None:
            raise self.error(context, "stop", self.find(context, request))
        context.kernel.jobs.poke()
        return {}

    def find(self, context: Context, request: dict[str, Any]) -> Record:
        """The resource that a request names. Raises the service's not-found error."""
        name = request[self.name_member]
        record = context.kernel.store.get(self.scope(context), self.key, name)
        if record is None:
            arn = self.arn(context, name)
            raise self.error(context, "not_found", Record(self.scope(context), self.key, name, arn, None, {}))
        return record

    def shown(self, context: Context, record: Record, operation: str) -> dict[str, Any]:
        """A record as the output of `operation` shows it."""
        return self._view(context, record, self._output(operation))

    def scope(self, context: Context) -> Scope:
        """The world in which this resource's names are unique."""
        match self.resource.scope:
            case "regional":
                return context.scope
            case "global":
                return context.global_scope
            case "partition":
                return Scope("", "")

    def arn(self, context: Context, name: str) -> str:
        """The ARN of the resource called `name`; SageMaker's ARNs are lower case, hence `{lower}` in a declaration."""
        region = context.region if self.resource.scope == "regional" else ""
        return context.arn(self.resource.arn.format(name=name, lower=name.lower()), region=region)

    def error(self, context: Context, kind: str, record: Record) -> ServiceError:
        """The service's error of a kind about one resource."""
        row, sentence = self.resource.errors.get(kind) or _WORDS[kind]
        words = _words(self.resource.kind)
        return context.error(row, sentence.format(kind=words, name=record.name, arn=record.arn, status=record.status))

    def _view(self, context: Context, record: Record, shape: StructureShape) -> dict[str, Any]:
        members = {
            **record.body,
            self.name_member: record.name,
            self.arn_member: record.arn,
            self.status_member: record.status,
            "CreationTime": utc(record.created),
            "LastModifiedTime": utc(record.modified),
        }
        if self.resource.view is not None:
            members |= self.resource.view(context, record)
        return {name: members[name] for name in shape.members if members.get(name) is not None}

    def _output(self, operation: str) -> StructureShape:
        shape = self.service.model.operation_model(operation).output_shape
        assert isinstance(shape, StructureShape), f"{operation} has no output"
        return shape


def _words(kind: str) -> str:
    """`TrainingJob` as a sentence says it: `training job`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind).strip()
