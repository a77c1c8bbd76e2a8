"""What an algorithm is, and how one is found. It holds no algorithm and no AWS request."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kenja_worker.algorithms.hyperparameters import HyperparameterTable, Values
from kenja_worker.algorithms.metrics import Metric

if TYPE_CHECKING:
    import numpy.typing

    Array = numpy.typing.NDArray[Any]

_PACKAGE = "kenja_worker.algorithms"


@dataclass(frozen=True)
class Channel:
    """One input channel as the container contract shows it: a folder of files and how to read them."""

    name: str
    folder: Path
    content_type: str = ""
    input_mode: str = "File"


@dataclass(frozen=True)
class Job:
    """What a training run gets from its surroundings.

    `say` prints one line of the job's log at once. `stopping` answers whether the job was told to stop;
    an algorithm asks it at least once a round. `output`: the folder of what it produces beside the model.
    `checkpoints`: the folder that outlives the job; none where nobody keeps it.
    """

    channels: Mapping[str, Channel]
    say: Callable[[str], None] = print
    stopping: Callable[[], bool] = lambda: False
    output: Path | None = None
    checkpoints: Path | None = None


@dataclass(frozen=True)
class Example:
    """A small problem that the algorithm must be able to learn; the shipped checks run on it."""

    hyperparameters: Mapping[str, str]
    content_type: str
    channels: Mapping[str, bytes]
    rows: tuple[tuple[float, ...], ...]


class Algorithm(Protocol):
    """A built-in algorithm. The declarations load nothing heavy; the methods may."""

    @property
    def name(self) -> str: ...

    @property
    def hyperparameters(self) -> HyperparameterTable: ...

    @property
    def metrics(self) -> tuple[Metric, ...]: ...

    def fit(self, values: Values, job: Job) -> Any:
        """Train and return the model. Raises ClientError for bad input, JobStopped when stopped without a model."""

    def save(self, model: Any, folder: Path) -> None:
        """Write the model below `folder` so that `load` gives an equal one."""

    def load(self, folder: Path) -> Any:
        """Read the model below `folder`. Raises ClientError when there is none that this algorithm can read."""

    def predict(self, model: Any, rows: Array) -> Array:
        """rows: (rows, features) float32, NaN is missing → (rows,) or (rows, classes). Raises ClientError on a wrong width."""

    def example(self) -> Example:
        """A small problem for the shipped checks."""


class UnknownAlgorithmError(LookupError):
    """No algorithm of that name is here."""


def names() -> tuple[str, ...]:
    """Names of all algorithms present: the modules of this package that declare `algorithm`."""
    package = importlib.import_module(_PACKAGE)
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in found if _declared(name) is not None))


def find(name: str) -> Algorithm:
    """The algorithm of that name. Raises UnknownAlgorithmError."""
    if name.isidentifier():
        algorithm = _declared(name)
        if algorithm is not None:
            return algorithm
    raise UnknownAlgorithmError(f"there is no built-in algorithm '{name}'; there are: {', '.join(names())}")


def _declared(name: str) -> Algorithm | None:
    path = f"{_PACKAGE}.{name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as missing:
        if missing.name != path:
            raise
        return None
    algorithm: Algorithm | None = getattr(module, "algorithm", None)
    return algorithm if hasattr(algorithm, "fit") else None
