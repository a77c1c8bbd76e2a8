"""Tags of any resource: the three operations that every service spells a little differently, from its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kenja.kernel.context import Context
    from kenja.kernel.declare import Handler, Service

MAX_TAGS = 50  # per resource; AWS General Reference, tag restrictions
_ADD = ("AddTags", "TagResource")
_LIST = ("ListTags", "ListTagsForResource")
_REMOVE = ("DeleteTags", "UntagResource")


def serve(service: Service) -> None:
    """Serve a service's tag operations over whatever carries an ARN in the store."""
    for names, build in ((_ADD, _add), (_LIST, _list), (_REMOVE, _remove)):
        for name in names:
            if name in service.model.operation_names:
                service.derived(name, build(service, name))


def checked(context: Context, tags: Sequence[Mapping[str, str]] | Mapping[str, str]) -> dict[str, str]:
    """Tags as a dict, from AWS's list of Key and Value or from a map. Raises the service's validation error."""
    if isinstance(tags, Mapping):
        pairs = list(tags.items())
    else:
        pairs = [(tag.get("Key", tag.get("key", "")), tag.get("Value", tag.get("value", ""))) for tag in tags]
    found = dict(pairs)
    if len(found) != len(pairs):
        raise context.error("validation", "Duplicate tag keys found: every key may appear once.")
    if len(found) > MAX_TAGS:
        raise context.error("validation", f"{len(found)} tags were given; a resource can have at most {MAX_TAGS}.")
    reserved = next((key for key in found if key.lower().startswith("aws:")), None)
    if reserved is not None:
        raise context.error(
            "validation", f"Tag key {reserved!r} starts with aws:, which AWS reserves; choose another key."
        )
    return found


def _add(service: Service, operation: str) -> Handler:
    arn_member, tags_member, _ = _members(service, operation)

    def add(context: Context, request: dict[str, Any]) -> dict[str, Any]:
        arn, store = _known(context, request[arn_member]), context.kernel.store
        with store.transaction():
            store.tag(arn, checked(context, request[tags_member]))
            present = store.tags(arn)
            if len(present) > MAX_TAGS:
                raise context.error(
                    "validation", f"{arn} would have {len(present)} tags; at most {MAX_TAGS} are allowed."
                )
        output = service.model.operation_model(operation).output_shape
        return {"Tags": _as_list(present)} if output is not None and "Tags" in output.members else {}

    return add


def _list(service: Service, operation: str) -> Handler:
    arn_member, _, _ = _members(service, operation)
    output = service.model.operation_model(operation).output_shape
    assert output is not None
    name, shape = next((name, shape) for name, shape in output.members.items() if name.lower() == "tags")

    def list_(context: Context, request: dict[str, Any]) -> dict[str, Any]:
        present = context.kernel.store.tags(_known(context, request[arn_member]))
        return {name: present if shape.type_name == "map" else _as_list(present)}

    return list_


def _remove(service: Service, operation: str) -> Handler:
    arn_member, _, keys_member = _members(service, operation)

    def remove(context: Context, request: dict[str, Any]) -> dict[str, Any]:
        context.kernel.store.untag(_known(context, request[arn_member]), request[keys_member])
        return {}

    return remove


def _known(context: Context, arn: str) -> str:
    record = context.kernel.store.by_arn(arn)
    if record is None or record.scope.account != context.account or record.scope.region not in ("", context.region):
        raise context.error("not_found", f'Could not find a resource with the ARN "{arn}".')
    return arn


def _members(service: Service, operation: str) -> tuple[str, str, str]:
    shape = service.model.operation_model(operation).input_shape
    assert shape is not None
    names = list(shape.members)
    arn = next(name for name in names if name.lower() == "resourcearn")
    return (
        arn,
        next((name for name in names if name.lower() == "tags"), ""),
        next((name for name in names if name.lower() == "tagkeys"), ""),
    )


def _as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
