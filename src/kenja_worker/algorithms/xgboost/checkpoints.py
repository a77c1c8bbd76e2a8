"""Checkpoints of a booster in a folder: one file a round, the last five kept, as AWS's image names them. Uploads nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from kenja_worker.algorithms.xgboost.model import save_as

NAME = "xgboost-checkpoint"
KEPT = 5  # files; AWS's open image
_FILE = re.compile(rf"{NAME}\.(\d+)")


def latest(folder: Path) -> tuple[Any, int]:
    """The newest checkpoint that can be read, and how many rounds it has; (None, 0) when there is none."""
    import xgboost

    for number, path in sorted(_present(folder), reverse=True):
        booster = xgboost.Booster()
        data = path.read_bytes()
        if data[:1] != b"{":  # the library ends the process on an empty file
            continue
        try:
            booster.load_model(bytearray(data))
        except xgboost.core.XGBoostError:
            continue  # written by somebody else, or cut off: an older one may do
        return booster, number + 1
    return None, 0


def write(folder: Path, booster: Any, number: int) -> None:
    """The checkpoint after round `number`, whole or not at all; older ones but for the last few go."""
    save_as(booster, folder / f"{NAME}.{number}")
    for old, path in _present(folder):
        if old <= number - KEPT:
            path.unlink(missing_ok=True)


def _present(folder: Path) -> list[tuple[int, Path]]:
    found = ((_FILE.fullmatch(path.name), path) for path in folder.glob(f"{NAME}.*"))
    return [(int(match[1]), path) for match, path in found if match]
