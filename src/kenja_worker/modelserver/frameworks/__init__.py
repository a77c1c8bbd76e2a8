"""What AWS's framework containers do where a user's script has no function of its own. One file a framework, by its name."""

from __future__ import annotations

import importlib
from typing import Any, NoReturn, Protocol, cast


class Framework(Protocol):
    """The default functions of one container."""

    def model_fn(self, model_dir: str) -> Any:
        """The model in a folder."""

    def input_fn(self, body: str | bytes, content_type: str) -> Any:
        """What `predict_fn` takes. Raises UnsupportedFormat."""

    def predict_fn(self, data: Any, model: Any) -> Any:
        """What `output_fn` takes."""

    def output_fn(self, prediction: Any, accept: str) -> str | bytes:
        """The body of the answer. Raises UnsupportedFormat."""


def find(name: str) -> Framework:
    """The defaults of a framework. Raises ModuleNotFoundError."""
    return cast(Framework, importlib.import_module(f"{__name__}.{name}").FRAMEWORK)


def no_model_fn() -> NoReturn:
    """AWS's containers load no model by themselves once there is a script."""
    raise NotImplementedError("The script has no model_fn(model_dir): write one that loads and returns the model.")
