"""Built-in algorithms: one file or folder each, found by being here. Importing this package loads no heavy library."""

from __future__ import annotations

from kenja_worker.algorithms.algorithm import Algorithm, UnknownAlgorithmError, find, names
from kenja_worker.algorithms.errors import ClientError

__all__ = ["Algorithm", "ClientError", "UnknownAlgorithmError", "find", "names"]
