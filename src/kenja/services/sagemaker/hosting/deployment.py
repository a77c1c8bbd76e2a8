"""What an endpoint runs: revisions, each with copies of its variants and models, so that both may be deleted while it serves.

An endpoint has the revision that serves and, while it is updated, the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.hosting.rows import Wanted
from kenja.kernel.resources.store import Record
from kenja.services.sagemaker.hosting.endpoint_configs import WORDS

NEXT = "_next"  # member of an endpoint's body while it is updated: the members that it is to have then
_VARIANTS, _REVISION = "_variants", "_revision"


@dataclass(frozen=True)
class Variant:
    """A production variant with its model's body, and what is wanted of it now."""

    given: Mapping[str, Any]
    model: Mapping[str, Any]
    weight: float
    count: int

    @property
    def name(self) -> str:
        return str(self.given["VariantName"])

    def document(self) -> dict[str, Any]:
        return {"variant": self.given, "model": self.model, "weight": self.weight, "count": self.count}


@dataclass(frozen=True)
class Deployment:
    """One revision."""

    revision: int
    config: str
    variants: tuple[Variant, ...]

    def members(self) -> dict[str, Any]:
        """What an endpoint's body holds of it."""
        return {
            "EndpointConfigName": self.config,
            _REVISION: self.revision,
            _VARIANTS: [variant.document() for variant in self.variants],
        }

    def wanted(self) -> Iterator[Wanted]:
        """Its replicas."""
        for variant in self.variants:
            yield Wanted(variant.name, self.revision, variant.count, variant.weight)

    def variant(self, name: str) -> Variant | None:
        return next((variant for variant in self.variants if variant.name == name), None)


def current(record: Record) -> Deployment:
    """The revision that serves, or is to serve first."""
    return _read(record.body)


def following(record: Record) -> Deployment | None:
    """The revision that an update makes."""
    found = record.body.get(NEXT)
    return None if found is None else _read(found)


def of(record: Record, revision: int) -> Deployment | None:
    """A revision by its number."""
    candidates = (current(record), following(record))
    return next((each for each in candidates if each is not None and each.revision == revision), None)


def resolve(context: Context, name: str, revision: int) -> Deployment:
    """The configuration of that name as a revision. Raises the service's error when it, or a model of it, is gone."""
    config = context.record("EndpointConfig", name)
    if config is None:
        raise context.error(
            "not_found", WORDS["not_found"][1].format(arn=context.arn(f"endpoint-config/{name.lower()}"))
        )
    return Deployment(revision, name, tuple(_resolved(context, config.body["ProductionVariants"])))


def _resolved(context: Context, variants: Sequence[Mapping[str, Any]]) -> Iterator[Variant]:
    for variant in variants:
        model = context.record("Model", variant["ModelName"])
        if model is None:
            arn = context.arn(f"model/{variant['ModelName'].lower()}")
            raise context.error("not_found", f'Could not find model "{arn}".')
        yield Variant(variant, model.body, float(variant["InitialVariantWeight"]), int(variant["InitialInstanceCount"]))


def _read(body: Mapping[str, Any]) -> Deployment:
    if _VARIANTS not in body:  # written by release 0.1.0, which had one variant
        given = body["_variant"]
        only = Variant(given, body["_model"], given["InitialVariantWeight"], given["InitialInstanceCount"])
        return Deployment(1, body["EndpointConfigName"], (only,))
    variants = (Variant(entry["variant"], entry["model"], entry["weight"], entry["count"]) for entry in body[_VARIANTS])
    return Deployment(body[_REVISION], body["EndpointConfigName"], tuple(variants))
