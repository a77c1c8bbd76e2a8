"""Holds every service folder against its rules: manifest, error codes, levels, a test per written operation, generated files current."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import gen_types
import parity
from botocore import xform_name
from botocore.model import ServiceModel

from kenja.kernel.declare import Service
from kenja.kernel.services import load_all

REPOSITORY = Path(__file__).resolve().parent.parent
SERVICES = REPOSITORY / "src" / "kenja" / "services"
ROUTING = ("signing_name", "endpoint_prefix", "api_version", "protocols")
KINDS = ("validation",)  # what the kernel itself raises for every service
LEVELS = (1, 2, 3)  # level 0 is what is not declared

# AWS's pages "Common Errors" of the API references: codes that a service answers without its model listing them.
COMMON = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InternalFailure",
        "InvalidAction",
        "InvalidClientTokenId",
        "InvalidParameterCombination",
        "InvalidParameterValue",
        "InvalidQueryParameter",
        "MissingAction",
        "MissingParameter",
        "NotAuthorized",
        "OptInRequired",
        "RequestExpired",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "UnrecognizedClientException",
        "UnsupportedOperationException",  # ours, on every service: level 0
        "ValidationError",
        "ValidationException",
    }
)


def problems() -> Iterator[str]:
    """Every breach of a rule, one sentence each."""
    folders = {path.parent for path in SERVICES.glob("*/*.py")} - {SERVICES}
    for folder in sorted(folders):
        yield from missing_parts(folder)
    services = load_all()
    names = test_names(REPOSITORY.glob("tests/**/*.py"))
    for service in services:
        yield from manifest_problems(service, {other.name for other in services})
        yield from error_problems(service, waiter_codes(service.name))
        yield from operation_problems(service, names)
    for path in (*gen_types.stale(), *parity.stale()):
        yield f"{path.relative_to(REPOSITORY)} is not current; run: make docs"


def missing_parts(folder: Path) -> Iterator[str]:
    """A service folder has a package, a manifest and an error table."""
    for part in ("__init__.py", "service.toml", "errors.toml"):
        if not (folder / part).is_file():
            yield f"{folder.relative_to(REPOSITORY)} has no {part}"


def manifest_problems(service: Service, known: set[str]) -> Iterator[str]:
    """service.toml says how to route to the service, and calls only services that exist."""
    manifest = tomllib.loads((service.folder / "service.toml").read_text())
    routing = manifest.get("routing", {})
    for name in ROUTING:
        if name not in routing:
            yield f"{service.name}: service.toml has no routing.{name}"
    for called in sorted(service.calls - known):
        yield f"{service.name}: service.toml calls {called!r}, which no folder serves"
    signing = service.model.metadata.get("signingName", service.model.endpoint_prefix)
    if routing.get("signing_name", signing) != signing:
        yield f"{service.name}: routing.signing_name is {routing['signing_name']!r}, the service model has {signing!r}"


def error_problems(service: Service, from_waiters: set[str]) -> Iterator[str]:
    """Every code of errors.toml is in the model, in a waiter, common to all services, or says where it is documented."""
    rows: dict[str, dict[str, Any]] = tomllib.loads((service.folder / "errors.toml").read_text())
    modelled = model_codes(service.model)
    for kind in KINDS:
        if kind not in rows:
            yield f"{service.name}: errors.toml has no [{kind}], which the kernel raises"
    for kind, row in rows.items():
        code = row.get("code", "")
        if code not in modelled and code not in from_waiters | COMMON and not row.get("documented"):
            yield (
                f"{service.name}: errors.toml [{kind}] has the code {code!r}, which neither the model nor a waiter has; "
                'if AWS documents it, say where: documented = "…"'
            )
        status = modelled.get(code)
        if status and row.get("status", status) != status:
            yield f"{service.name}: errors.toml [{kind}] gives {code} the status {row['status']}, the model {status}"


def model_codes(model: ServiceModel) -> dict[str, int | None]:
    """The error codes of a service model, as they appear on the wire, with their HTTP status where it has one."""
    found: dict[str, int | None] = {}
    for shape in model.error_shapes:
        error = shape.metadata.get("error", {})
        found[error.get("code") or shape.name] = error.get("httpStatusCode")
    return found


def waiter_codes(name: str) -> set[str]:
    """The error codes that the service's waiters expect."""
    loader = botocore.session.get_session().get_component("data_loader")
    try:
        waiters = loader.load_service_model(name, "waiters-2")["waiters"]
    except botocore.exceptions.UnknownServiceError:
        return set()
    acceptors = (acceptor for waiter in waiters.values() for acceptor in waiter["acceptors"])
    return {str(acceptor["expected"]) for acceptor in acceptors if acceptor["matcher"] == "error"}


def operation_problems(service: Service, tests: frozenset[str]) -> Iterator[str]:
    """Levels are levels, and every written operation has a test that bears its name."""
    tested = tested_operations(service.operations, tests)
    for name, entry in sorted(service.operations.items()):
        if entry.level not in LEVELS:
            yield f"{service.name}.{name} has level {entry.level}; allowed: {', '.join(map(str, LEVELS))}"
        if entry.kind == "written" and name not in tested:
            yield f"{service.name}.{name} is written, but no test is named after it, like test_{xform_name(name)}_…"


def tested_operations(operations: Iterable[str], tests: frozenset[str]) -> set[str]:
    """The operations whose AWS name or snake_case name stands in a test's name; the longest one that fits counts."""
    spelt = {spelling: name for name in operations for spelling in (name, xform_name(name))}
    if not spelt:
        return set()
    longest_first = "|".join(map(re.escape, sorted(spelt, key=len, reverse=True)))
    pattern = re.compile(rf"(?<![A-Za-z0-9])({longest_first})(?![a-z0-9])")
    return {
        spelt[found] for test in tests for found in pattern.findall(test.replace("test_", "_").replace("Test", "_"))
    }


def test_names(paths: Iterable[Path]) -> frozenset[str]:
    """The names of all test functions and test classes."""
    pattern = re.compile(r"^\s*(?:async )?(?:def|class) ((?:test_|Test)\w+)", re.MULTILINE)
    return frozenset(name for path in paths for name in pattern.findall(path.read_text()))


def main() -> int:
    found = list(problems())
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"check_services: {len(load_all())} services, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
