"""Which operation a REST request means: method, raw path, literal and required query parameters, required headers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote_to_bytes

from botocore.model import OperationModel, ServiceModel

from kenja.wire.errors import MalformedPath
from kenja.wire.message import Request

_LABEL = re.compile(r"\{([^}]+)\}")


@dataclass(frozen=True)
class Route:
    """One operation; `labels` are the path parameters in order."""

    operation: str
    labels: tuple[str, ...]
    literals: tuple[tuple[str, str | None], ...]  # query parameters of the template; None: any value
    required_query: tuple[str, ...]
    required_headers: tuple[str, ...]
    deprecated: bool

    def missing(self, query: Mapping[str, str], headers: Mapping[str, str]) -> int:
        """How many required parameters the request lacks."""
        return sum(name not in query for name in self.required_query) + sum(
            name not in headers for name in self.required_headers
        )

    def admits(self, query: Mapping[str, str]) -> bool:
        """Whether the literal query parameters are there."""
        return all(name in query and value in (None, query[name]) for name, value in self.literals)


@dataclass(frozen=True)
class _Group:
    """The routes that share a path, most demanding first."""

    path: re.Pattern[str]
    routes: tuple[Route, ...]


class Router:
    """Routes of one service. The raw path is matched, then decoded, so `%2F` never separates."""

    def __init__(self, model: ServiceModel) -> None:
        found: dict[str, dict[str, list[Route]]] = {}
        for name in model.operation_names:
            operation = model.operation_model(name)
            path = operation.http["requestUri"].partition("?")[0]
            shape = _LABEL.sub(lambda label: "{+}" if label.group(1).endswith("+") else "{}", path)
            found.setdefault(operation.http["method"], {}).setdefault(shape, []).append(_route(operation))
        self._groups = {method: self._order(paths) for method, paths in found.items()}

    @staticmethod
    def _order(paths: dict[str, list[Route]]) -> list[_Group]:
        def demand(route: Route) -> tuple[int, int, bool, str]:
            required = len(route.required_query) + len(route.required_headers)
            return (-len(route.literals), -required, route.deprecated, route.operation)

        ordered = sorted(paths, key=lambda shape: (shape.count("{+}"), shape.count("{}"), -len(shape)))
        return [_Group(_pattern(shape), tuple(sorted(paths[shape], key=demand))) for shape in ordered]

    def match(self, request: Request) -> tuple[str, dict[str, str]] | None:
        """Operation and path parameters, or None. A trailing slash matters only where both forms exist."""
        groups = self._groups.get(request.method, ())
        path = request.path
        attempt = partial(self._attempt, groups, dict(request.arguments()), request.headers)
        found = attempt(path)
        if found is None and path.endswith("/") and len(path) > 1:
            found = attempt(path[:-1])
        elif found is None:
            found = attempt(path + "/")
        if found is None:
            return None
        route, values = found
        return route.operation, {label: decode(text) for label, text in zip(route.labels, values, strict=True)}

    @staticmethod
    def _attempt(
        groups: Sequence[_Group], query: dict[str, str], headers: dict[str, str], path: str
    ) -> tuple[Route, tuple[str, ...]] | None:
        for group in groups:
            match = group.path.fullmatch(path)
            if match is None:
                continue
            nearest: Route | None = None
            fewest = 0
            for route in group.routes:
                if route.literals and route.literals[0][0] not in query:
                    continue
                if not route.admits(query) or (nearest is not None and len(route.literals) < len(nearest.literals)):
                    continue
                missing = route.missing(query, headers)
                if not missing:
                    return route, match.groups()
                if nearest is None or missing < fewest:
                    nearest, fewest = route, missing
            if nearest is not None:
                return nearest, match.groups()
        return None


def decode(text: str) -> str:
    """Percent-decoding that refuses what is not UTF-8, since two keys must never become one."""
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise MalformedPath("The path is not valid percent-encoded UTF-8.") from None


def _pattern(shape: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\+?\})", shape)
    pieces = {"{}": "([^/]+)", "{+}": "(.+)"}
    return re.compile("".join(pieces.get(part) or re.escape(part) for part in parts), re.DOTALL)


def _route(operation: OperationModel) -> Route:
    path, _, query = operation.http["requestUri"].partition("?")
    literals = []
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        literals.append((name, value if equals else None))
    queries, headers = [], []
    shape = operation.input_shape
    for name in shape.required_members if shape is not None else ():
        place = shape.members[name].serialization
        if place.get("location") == "querystring":
            queries.append(place.get("name", name))
        elif place.get("location") == "header":
            headers.append(place.get("name", name).lower())
    labels = tuple(label.rstrip("+") for label in _LABEL.findall(path))
    return Route(operation.name, labels, tuple(literals), tuple(queries), tuple(headers), bool(operation.deprecated))
