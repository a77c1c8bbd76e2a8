"""What this machine's sandbox can honour: tried by the reconciler when it starts, read by whoever must refuse the rest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from kenja.core.clock import Clock
from kenja_worker.shim import ladder

FILE = "capabilities.json"  # in the run folder
WAIT = 10.0  # seconds that a first request waits for a reconciler that is still starting
_POLL = 0.05


@dataclass(frozen=True)
class Capabilities:
    """Rungs that passed their trial, best first, and why the others did not."""

    rungs: tuple[str, ...]
    reasons: dict[str, str]

    @property
    def isolating(self) -> bool:
        """True when a job can be kept from the data folder."""
        return any(rung in ladder.ISOLATING for rung in self.rungs)

    @property
    def network_isolation(self) -> bool:
        """True when a job can be kept from the network; every isolating rung can."""
        return self.isolating


def explore(run: Path, highest: str) -> Capabilities:
    """Try every rung that `highest` (the server's --rung) allows and write down the result. Needs the main thread: it forks."""
    rungs = [rung for rung in ladder.probe() if _allowed(rung.name, highest)]
    found = Capabilities(
        tuple(rung.name for rung in rungs if rung.available),
        {rung.name: rung.reason for rung in rungs if not rung.available},
    )
    run.mkdir(parents=True, exist_ok=True)
    draft = run / f"{FILE}.draft"
    draft.write_text(json.dumps(asdict(found)))
    draft.replace(run / FILE)
    return found


def known(run: Path, clock: Clock) -> Capabilities:
    """What the reconciler found; nothing at all when it has not said anything within WAIT."""
    path = run / FILE
    end = clock.monotonic() + WAIT
    while not path.exists():
        if clock.monotonic() > end:
            return Capabilities((), {})
        clock.sleep(_POLL)
    table = json.loads(path.read_text())
    return Capabilities(tuple(table["rungs"]), table["reasons"])


def _allowed(name: str, highest: str) -> bool:
    if highest in ("auto", "warm"):
        return True
    return name == highest or (name == "none" and highest != "none")
