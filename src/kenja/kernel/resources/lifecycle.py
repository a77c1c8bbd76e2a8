"""States of a resource as data: who may follow whom, which states are final. No clock and no store here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Lifecycle:
    """`moves` maps a state to those that may follow it; a state without successors is final.

    `busy` are the states in which Delete is refused; `stopping` is the state that Stop moves to, when there is one.
    """

    initial: str
    moves: Mapping[str, frozenset[str]]
    stopping: str | None = None
    busy: frozenset[str] = frozenset()

    @property
    def states(self) -> frozenset[str]:
        """Every state that the resource can be in."""
        return frozenset(
            {self.initial, *self.moves, *(target for targets in self.moves.values() for target in targets)}
        )

    def sources(self, target: str) -> frozenset[str]:
        """The states from which `target` may be entered."""
        return frozenset(state for state, targets in self.moves.items() if target in targets)

    def is_final(self, state: str) -> bool:
        """True when nothing may follow `state`."""
        return not self.moves.get(state)


JOB = Lifecycle(  # training, processing, transform and tuning jobs of SageMaker
    "InProgress",
    {
        "InProgress": frozenset({"Completed", "Failed", "Stopping", "Stopped"}),
        "Stopping": frozenset({"Stopped", "Failed"}),
    },
    stopping="Stopping",
    busy=frozenset({"InProgress", "Stopping"}),
)
