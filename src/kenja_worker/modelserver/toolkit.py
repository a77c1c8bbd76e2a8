"""A user's own handlers, as AWS's inference toolkits call them: model_fn, then input_fn, predict_fn, output_fn or transform_fn.

What the script lacks, its framework's defaults do. No sockets and no processes here.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from kenja_worker.modelserver import contents, frameworks
from kenja_worker.modelserver.frames import Frame, Kind
from kenja_worker.modelserver.requestcontext import CUSTOM_ATTRIBUTES, RequestContext

PROGRAM = "SAGEMAKER_PROGRAM"
DEFAULT_PROGRAM = "inference.py"  # sagemaker-inference toolkit
DEFAULT_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"


class BadScript(Exception):  # noqa: N818 - what is the matter
    """The script can not serve; the message is for its author."""


@dataclass(frozen=True)
class Functions:
    """What answers requests: the script's own functions, its framework's where it has none."""

    model_fn: Callable[..., Any]
    input_fn: Callable[..., Any]
    predict_fn: Callable[..., Any]
    output_fn: Callable[..., Any]
    transform_fn: Callable[..., Any] | None
    pre_model_fn: Callable[..., Any] | None = None
    model_warmup_fn: Callable[..., Any] | None = None


def import_script(code: Path, program: str) -> ModuleType:
    """The user's module, importable as its file's name, with its folder first on the path. Raises BadScript, and what the script raises."""
    path = code / (program if program.endswith(".py") else f"{program}.py")
    if not path.is_file():
        found = sorted(str(entry.relative_to(code)) for entry in code.rglob("*.py"))[:20] if code.is_dir() else []
        raise BadScript(
            f"There is no {path.relative_to(code)} in the model's code; it holds {', '.join(found) or 'no Python file'}."
        )
    sys.path[:0] = dict.fromkeys((str(path.parent), str(code)))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # so that what it pickled by this name is found again
    spec.loader.exec_module(module)
    return module


def functions(script: ModuleType, defaults: frameworks.Framework) -> Functions:
    """Raises BadScript when transform_fn stands beside the functions that it replaces."""
    own = {
        name: getattr(script, name, None)
        for name in (
            "model_fn",
            "input_fn",
            "predict_fn",
            "output_fn",
            "transform_fn",
            "pre_model_fn",
            "model_warmup_fn",
        )
    }
    steps = [name for name in ("input_fn", "predict_fn", "output_fn") if own[name] is not None]
    if own["transform_fn"] is not None and steps:
        raise BadScript(f"Cannot use transform_fn implementation in conjunction with {', '.join(steps)}.")
    return Functions(
        model_fn=own["model_fn"] or defaults.model_fn,
        input_fn=own["input_fn"] or defaults.input_fn,
        predict_fn=own["predict_fn"] or defaults.predict_fn,
        output_fn=own["output_fn"] or defaults.output_fn,
        transform_fn=own["transform_fn"],
        pre_model_fn=own["pre_model_fn"],
        model_warmup_fn=own["model_warmup_fn"],
    )


class Toolkit:
    """A loaded model and its functions. Used by one thread."""

    def __init__(self, given: Functions, model_dir: Path) -> None:
        """Loads the model. Raises what the script raises."""
        self._given = given
        self._context = RequestContext(str(model_dir))
        self._accept = os.environ.get(DEFAULT_ACCEPT, contents.JSON)
        if given.pre_model_fn is not None:
            self._call(given.pre_model_fn, str(model_dir))
        self._model = self._call(given.model_fn, str(model_dir))
        if given.model_warmup_fn is not None:
            self._call(given.model_warmup_fn, str(model_dir), self._model)

    def answers(self, request: Frame) -> Iterator[Frame]:
        """The answer to one invocation, behind its parts if the request takes some and the handler yields them.

        Never raises for what a request or a handler does; a traceback goes to the log.
        """
        content_type = request.content_type.decode("latin-1") or contents.JSON
        accept = request.accept.decode("latin-1")
        if accept in ("", contents.ANY):
            accept = self._accept
        self._context.begin(request, content_type, accept)
        try:
            yield from self._answered(request, content_type, accept)
        except Exception as error:
            trace = traceback.format_exc()
            print(trace, file=sys.stderr, flush=True)
            yield _failure(request, error, trace)

    def _answered(self, request: Frame, content_type: str, accept: str) -> Iterator[Frame]:
        text = contents.media_type(content_type) in contents.TEXTS
        body: str | bytes = request.body.decode() if text else request.body
        given = self._given
        if given.transform_fn is not None:
            result = self._call(given.transform_fn, self._model, body, content_type, accept)
        else:
            try:
                data = self._call(given.input_fn, body, content_type)
            except contents.UnsupportedFormat as error:
                yield _refusal(request, error, 415)
                return
            prediction = self._call(given.predict_fn, data, self._model)
            try:
                result = self._call(given.output_fn, prediction, accept)
            except contents.UnsupportedFormat as error:
                yield _refusal(request, error, 406)
                return
        yield from self._frames(request, result, accept)

    def _frames(self, request: Frame, result: Any, accept: str) -> Iterator[Frame]:
        status, kind = 200, accept
        if isinstance(result, tuple) and len(result) == 2:
            result, kind = result
        elif hasattr(result, "get_data") and hasattr(
            result, "mimetype"
        ):  # a web framework's response, as older scripts return
            status, kind, result = int(result.status_code), result.mimetype or accept, result.get_data()
        kind = self._context.content_type or kind
        attributes = self._context.answered.get(CUSTOM_ATTRIBUTES, "")
        answer = Frame(
            request.id, Kind.ANSWER, b"", str(kind).encode("latin-1", "replace"),
            custom_attributes=attributes.encode("latin-1", "replace"), status=self._context.status or status,
        )  # fmt: skip
        if not inspect.isgenerator(result):
            yield answer._replace(body=_bytes(result))
        elif request.kind is Kind.STREAM:
            for part in result:
                yield answer._replace(kind=Kind.PART, body=_bytes(part))
            yield answer
        else:
            yield answer._replace(body=b"".join(map(_bytes, result)))

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """With the context behind the arguments where the function has a place for it, as the toolkits do."""
        parameters = [
            parameter for parameter in inspect.signature(function).parameters.values()
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY)
        ]  # fmt: skip
        if len(parameters) == len(arguments) + 1 and parameters[-1].kind is not inspect.Parameter.VAR_POSITIONAL:
            return function(*arguments, self._context)
        return function(*arguments)


def _bytes(result: Any) -> bytes:
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, bytes | bytearray | memoryview):
        return bytes(result)
    if result is None:
        return b""
    if isinstance(result, dict | list | int | float | bool):
        return json.dumps(result).encode()
    raise TypeError(
        f"output_fn or transform_fn returned {type(result).__name__}; it must return text or bytes, or a pair of those and a content type"
    )


def _refusal(request: Frame, error: Exception, status: int) -> Frame:
    """As AWS's scikit-learn container answers a content type that it does not know."""
    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    document = {
        "error": type(error).__name__, "error-message": str(error), "stack-trace": "".join(traceback.format_exception(error))
    }  # fmt: skip
    return Frame(request.id, Kind.ANSWER, json.dumps(document).encode(), contents.JSON.encode(), status=status)


def _failure(request: Frame, error: Exception, trace: str) -> Frame:
    """A status that the error carries, as the toolkit's own errors do; else 500."""
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or not 400 <= status < 600:
        status = 500
    message = str(getattr(error, "message", "") or error)
    body = f"{message}\n{trace}".encode(errors="replace")
    return Frame(request.id, Kind.ANSWER, body, b"text/plain; charset=utf-8", status=status)
