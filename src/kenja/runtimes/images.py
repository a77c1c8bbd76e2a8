"""From an image URI to the runtime that stands in for it, with a note on what differs. No image is ever pulled."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from kenja.runtimes.registry import FOLDER, Runtime, runtime

# {account}.dkr.ecr.{region}.{domain}; the domains of AWS's partitions: commercial and GovCloud, China, the isolated ones.
REGISTRY = re.compile(
    r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]{1,40}\.(amazonaws\.com(\.cn)?|c2s\.ic\.gov|sc2s\.sgov\.gov|csp\.hci\.ic\.gov|cloud\.adc-e\.uk)"
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LATEST = "latest"


@dataclass(frozen=True)
class Image:
    """One line of images.toml: an AWS repository and the runtime behind it."""

    repository: str
    runtime: str
    title: str
    library: str
    tag: str
    examples: tuple[str, ...]
    algorithm: str | None = None  # the built-in algorithm that runs when the job names no script
    script: bool = False  # whether a job may bring a script of its own
    framework: str | None = None  # whose defaults the model server has for a script's missing functions


@dataclass(frozen=True)
class ImageMatch:
    """What an image URI resolves to. `notes` belong in the job's log."""

    runtime: Runtime
    repository: str
    requested_version: str
    algorithm: str | None
    script: bool
    notes: tuple[str, ...]
    framework: str | None = None


def resolve(image_uri: str) -> ImageMatch | None:
    """The stand-in for an image: any account, any region, with or without a registry. None when there is none."""
    name, at, digest = image_uri.partition("@")
    registry, slash, path = name.rpartition("/")
    repository, colon, tag = path.partition(":")
    image = _images().get(repository)
    if image is None or (slash and not REGISTRY.fullmatch(registry)) or (at and not DIGEST.fullmatch(digest)):
        return None
    asked = tag if colon else LATEST
    found = re.fullmatch(image.tag, asked)
    if found is None and asked != LATEST:
        return None
    groups: Mapping[str, str | None] = found.groupdict() if found else {}
    version = groups.get("version") or LATEST
    notes = _notes(image, asked, version, groups.get("device"), digest)
    return ImageMatch(
        runtime(image.runtime), repository, version, image.algorithm, image.script, notes, image.framework
    )


def why_unknown(image_uri: str) -> str:
    """The sentence for an image that resolve() does not know: what was given, what there is."""
    known = (f"{image.repository}:{example}" for image in _images().values() for example in image.examples)
    return (
        f"No runtime stands in for the image '{image_uri}'. Use one of AWS's images, of any account and region, like: "
        f"{', '.join(known)}."
    )


def _notes(image: Image, asked: str, version: str, device: str | None, digest: str) -> tuple[str, ...]:
    """Which release really runs, and where the stand-in is not what was asked for, one sentence each."""
    here = runtime(image.runtime).pinned(image.library)
    notes = [
        f"Image {image.repository}:{asked} is run by the runtime {image.runtime!r} with {image.title} {here} ({image.library})."
    ]
    if version not in (LATEST, "1") and not here.startswith(version.partition("-")[0] + "."):
        notes.append(f"Version {version} was requested; results may differ from that release's.")
    if device == "gpu":
        notes.append("A GPU image was requested; this runtime computes on the CPU.")
    if digest:
        notes.append("The image's digest is not compared with anything: no image is pulled.")
    return tuple(notes)


@cache
def _images() -> Mapping[str, Image]:
    table = tomllib.loads((FOLDER / "images.toml").read_text())
    return {
        repository: Image(repository=repository, **{**fields, "examples": tuple(fields["examples"])})
        for repository, fields in table.items()
    }
