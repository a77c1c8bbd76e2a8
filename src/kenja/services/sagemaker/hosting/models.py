"""The model as a resource: an image and where its data lies. Nothing runs until an endpoint uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kenja import runtimes
from kenja.kernel.context import Context
from kenja.kernel.declare import Resource
from kenja.kernel.resources.store import Record
from kenja.services.sagemaker import protection, sources
from kenja.services.sagemaker.service import service

PROGRAM, SUBMIT_DIRECTORY = (
    "SAGEMAKER_PROGRAM",
    "SAGEMAKER_SUBMIT_DIRECTORY",
)  # variables that name a user's own handlers
_LATER = {  # members of a container whose effect this release does not have, with what to do instead
    "ModelPackageName": "name Image and ModelDataUrl",
    "InferenceSpecificationName": "name Image and ModelDataUrl",
    "ModelDataSource": "pack the model as a model.tar.gz and name it in ModelDataUrl",
    "AdditionalModelDataSources": "put everything into one model.tar.gz",
    "MultiModelConfig": "make one model and one endpoint each",
    "ContainerMetricsConfig": "leave it out",
}


def check(context: Context, request: dict[str, Any]) -> None:
    """Raise ValidationException with a sentence for the first thing that can not be done."""
    for problem in _problems(context, request):
        raise context.error("validation", problem)
    request.setdefault("EnableNetworkIsolation", False)


def container(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one container of a model's request or record."""
    found: Mapping[str, Any] = body.get("PrimaryContainer") or body["Containers"][0]
    return found


def _problems(context: Context, request: Mapping[str, Any]) -> Iterator[str]:
    primary, several = request.get("PrimaryContainer"), request.get("Containers")
    if primary and several:
        yield "Only one of PrimaryContainer and Containers can be given."
    if not primary and not several:
        yield "PrimaryContainer is missing: give Image and ModelDataUrl."
        return
    if several and len(several) > 1:
        yield f"Containers has {len(several)} members; this release of Kenja hosts models of one container."
    if request.get("InferenceExecutionConfig"):
        yield "InferenceExecutionConfig is for models of several containers, which this release of Kenja does not host."
    yield from _container(container(request))
    role = request.get("ExecutionRoleArn")
    if role is None:
        yield "ExecutionRoleArn is missing: the role that may read the model data."
    else:
        yield from protection.problems(context, request, role)


def _container(given: Mapping[str, Any]) -> Iterator[str]:
    for name, instead in _LATER.items():
        if given.get(name):
            yield f"{name} is not supported by this release of Kenja; {instead}."
    if given.get("Mode") == "MultiModel":
        yield "Mode MultiModel is not supported by this release of Kenja; make one model and one endpoint each."
    if given.get("ImageConfig", {}).get("RepositoryAccessMode") == "Vpc":
        yield "ImageConfig: this release of Kenja pulls no images, so it can not use a private registry."
    variables = given.get("Environment", {})
    yield from _image(given.get("Image"), script=PROGRAM in variables)
    url, submitted = given.get("ModelDataUrl"), variables.get(SUBMIT_DIRECTORY, "")
    if url is None and not submitted.startswith("s3://"):
        yield "ModelDataUrl is missing: the s3:// address of a model.tar.gz."
    elif url is not None and ((address := sources.split(url)) is None or not address[1]):
        yield f"ModelDataUrl is {url!r}; it must be s3://bucket/key of a model.tar.gz."
    if submitted.startswith("s3://") and ((address := sources.split(submitted)) is None or not address[1]):
        yield f"{SUBMIT_DIRECTORY} is {submitted!r}; it must be s3://bucket/key of a tar.gz archive."


def _image(image: str | None, *, script: bool) -> Iterator[str]:
    if image is None:
        yield "Image is missing from the container."
        return
    match = runtimes.resolve(image)
    if match is None:
        yield runtimes.why_unknown(image)
    elif script and match.framework is None:
        yield f"{image} runs no script of one's own, so Environment must not name {PROGRAM}; take sagemaker-{match.algorithm}."


def view(_context: Context, record: Record) -> dict[str, Any]:
    """Members that Describe shows and the request may not have had."""
    return {"EnableNetworkIsolation": record.body.get("EnableNetworkIsolation", False)}


MODEL = service.resource(Resource("Model", "model/{lower}", check=check, view=view, level=2))
