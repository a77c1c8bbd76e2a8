"""A script job's requirements.txt as an environment over its runtime. Only wheels are unpacked, so no code of a package runs out here."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from kenja.core.errors import JobFailed
from kenja.runtimes.build import make_environment
from kenja.runtimes.places import draft_of
from kenja.runtimes.registry import Runtime, normalised, pins
from kenja.runtimes.uv import BuildFailed, run_uv

RESULT = "overlay.json"  # the packages that the overlay adds; written before the overlay gets its final name
LIMIT_BYTES = 64 * 1024  # of one requirements.txt
TIMEOUT = 600  # seconds for one resolution and for one installation
ONLY_IN_RUNTIMES = frozenset(
    {"torch", "torchvision", "torchaudio"}
)  # gigabytes, and bound to the machine's accelerator

# PEP 508 without the `name @ URL` form, blanks collapsed: name, extras, version specifiers, environment marker.
VERSION = r"(===|==|~=|!=|<=|>=|<|>) ?[A-Za-z0-9.*+!_-]+"
REQUIREMENT = re.compile(
    rf"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*) ?(\[[A-Za-z0-9._, -]*\] ?)?(\(?{VERSION}( ?, ?{VERSION})*\)? ?)?(;[^@]*)?"
)
ARCHIVE = re.compile(r".*\.(whl|zip|tar|tgz|egg|tar\.[a-z0-9]+)", re.IGNORECASE)  # uv would take such a name for a file


@dataclass(frozen=True)
class Overlay:
    """An environment whose packages come before those of the runtime below it. `packages` are `name==version`, sorted."""

    python: Path
    location: Path
    packages: tuple[str, ...]


def overlay(base: Runtime, runtimes: Path, overlays: Path, requirements: str) -> Overlay:
    """The environment for these requirements, made on first use below `overlays`; the same ones share it.

    A package that the runtime has in a fitting version is not installed again. When nothing is left to install, `python`
    is the runtime's own. Raises JobFailed for a line that is refused and for requirements that cannot be met.
    Safe beside other builders.
    """
    wanted = requirement_lines(requirements)
    key = hashlib.sha256("\0".join((base.name, base.key, *wanted)).encode()).hexdigest()[:16]
    place = overlays / f"{base.name}-{key}"
    with draft_of(place, RESULT) as draft:
        if draft is not None:
            _fill(base, runtimes, wanted, draft)
    packages = tuple(json.loads((place / RESULT).read_text()))
    return Overlay(place / "bin" / "python" if packages else base.python(runtimes), place, packages)


def writable(base: Runtime, runtimes: Path, place: Path) -> None:
    """An environment of one job's own over the runtime: the job may install into it, by pip. Raises JobFailed."""
    place.mkdir(parents=True, exist_ok=True)
    python = base.python(runtimes)
    try:
        make_environment(place, python)
    except BuildFailed as failure:
        raise JobFailed(f"InternalServerError: the job's own Python could not be made: {failure}") from failure
    _put_before(python, place)
    for name in ("pip", "pip3"):
        command = place / "bin" / name
        command.write_text('#!/bin/sh\nexec "$(dirname "$0")/python" -m pip "$@"\n')
        command.chmod(0o755)


def requirement_lines(text: str) -> tuple[str, ...]:
    """The requirements of a requirements.txt, sorted, without comments. Raises JobFailed with a sentence for what is refused."""
    if len(text.encode(errors="replace")) > LIMIT_BYTES:
        raise JobFailed(f"requirements.txt has more than {LIMIT_BYTES} bytes; keep it to one line per package.")
    joined = text.lstrip("\ufeff").replace("\\\r\n", " ").replace("\\\n", " ")
    lines = (" ".join(re.sub(r"(^|\s)#.*", "", line).split()) for line in joined.splitlines())
    return tuple(sorted({_checked(line) for line in lines if line}))


def _checked(line: str) -> str:
    """The line, if it names a package and nothing more."""
    found = REQUIREMENT.fullmatch(line)
    shown = line if len(line) <= 100 else line[:97] + "..."
    if found is None or ARCHIVE.fullmatch(found["name"]) or " -" in line:
        raise JobFailed(
            f"requirements.txt: the line '{shown}' is refused. A line may name a package with extras, versions and a marker, like "
            "'humanize>=4,<5'; options (-r, -e, --index-url, --hash), paths and URLs are not taken. Put local code into the source archive."
        )
    if normalised(found["name"]) in ONLY_IN_RUNTIMES:
        raise JobFailed(
            f"requirements.txt: the line '{shown}' is refused: {found['name']} comes only with a runtime that has it."
        )
    return line


def _fill(base: Runtime, runtimes: Path, wanted: tuple[str, ...], draft: Path) -> None:
    """Resolve, install what the runtime lacks, and note it."""
    python = base.python(runtimes)
    try:
        packages = _missing(base, python, wanted, draft)
        if packages:
            _install(python, packages, draft)
    except BuildFailed as failure:
        raise JobFailed(f"requirements.txt could not be installed: {failure}") from failure
    (draft / RESULT).write_text(json.dumps(packages) + "\n")


def _missing(base: Runtime, python: Path, wanted: tuple[str, ...], draft: Path) -> list[str]:
    """The pins of a resolution that prefers the runtime's own versions, less those that the runtime has."""
    asked, resolved = draft / "requirements.txt", draft / "resolved.txt"
    asked.write_text("\n".join(wanted) + "\n")
    resolved.write_text(
        base.requirements.read_text()
    )  # uv keeps the versions of an existing output file where they fit
    only_wheels = ("--only-binary", ":all:", "--no-header", "--no-annotate", "--strip-extras")
    run_uv("pip", "compile", *only_wheels, "--python", str(python), "-o", str(resolved), str(asked), timeout=TIMEOUT)
    present = pins(base.requirements.read_text())
    found = pins(resolved.read_text())
    return sorted(f"{name}=={version}" for name, version in found.items() if present.get(name) != version)


def _install(python: Path, packages: list[str], draft: Path) -> None:
    """An environment with these packages, behind which the runtime's are found (`_base.pth`)."""
    make_environment(draft, python)
    exact = draft / "resolved.txt"
    exact.write_text("\n".join(packages) + "\n")
    options = ("--no-deps", "--only-binary", ":all:", "--compile-bytecode", "--python", str(draft / "bin" / "python"))
    run_uv("pip", "install", *options, "-r", str(exact), timeout=TIMEOUT)
    _put_before(python, draft)


def _put_before(python: Path, place: Path) -> None:
    """Behind the packages of the environment at `place`, those of the interpreter's are found."""
    own, below = (next(folder.glob("lib/python*/site-packages")) for folder in (place, python.parent.parent))
    (own / "_base.pth").write_text(f"{below}\n")
