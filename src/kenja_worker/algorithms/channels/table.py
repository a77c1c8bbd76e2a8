"""A channel's rows in memory, and the arrays that grow while they are read. No file formats here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kenja_worker.algorithms.algorithm import Array

_GROWTH = 1.3  # a factor: few reallocations, little room unused


@dataclass(frozen=True)
class Table:
    """Rows in the order of the channel's files.

    `features`: (rows, columns) float32, NaN is missing; or a scipy CSR matrix, where what is absent is missing.
    `labels`, `weights`: (rows,) float32. `groups`: (rows,) the query that a row belongs to, rows of one query together.
    """

    features: Any
    labels: Array
    weights: Array | None = None
    groups: Array | None = None


class Growing:
    """An array that is filled piece by piece without a second copy of the whole."""

    def __init__(self, kind: str, columns: int = 0) -> None:
        import numpy

        self.columns = columns  # 0: one dimension
        self._used = 0
        self._array = numpy.empty((0, columns) if columns else 0, dtype=kind)

    def append(self, piece: Array) -> None:
        """Copy the piece to the end."""
        self.reserve(self._used + len(piece))
        self._array[self._used : self._used + len(piece)] = piece
        self._used += len(piece)

    def reserve(self, rows: int) -> None:
        """Make room for so many rows in all."""
        if rows > len(self._array):
            self._resize(max(rows, int(len(self._array) * _GROWTH)))

    def whole(self) -> Array:
        """What was appended; nothing may be appended after it."""
        self._resize(self._used)
        return self._array

    def __len__(self) -> int:
        return self._used

    def _resize(self, rows: int) -> None:
        # The system moves large arrays by their page table; refcheck would refuse under a debugger that holds the array.
        self._array.resize((rows, self.columns) if self.columns else rows, refcheck=False)
