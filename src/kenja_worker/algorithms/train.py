"""`python -m kenja_worker.algorithms.train NAME`: one training run of a built-in algorithm by the container contract.

Reads input/config and input/data below /opt/ml (or SAGEMAKER_BASE_DIR), writes model/, and on failure output/failure.
Exit status: 0 done or stopped, 1 failed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from kenja_worker.algorithms.algorithm import (
    Algorithm,
    Channel,
    Job,
    UnknownAlgorithmError,
    find,
)
from kenja_worker.algorithms.errors import AlgorithmError, ClientError, JobStopped


class Termination:
    """Remembers SIGTERM. Before training starts there is nothing to keep, so the process ends at once."""

    def __init__(self) -> None:
        self.asked = False
        self.training = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if not self.training:
            raise SystemExit(0)


def main(arguments: list[str]) -> int:
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    try:
        if len(arguments) != 1:
            raise ClientError("Usage: python -m kenja_worker.algorithms.train ALGORITHM")
        termination = Termination()
        signal.signal(signal.SIGTERM, termination)
        run(_algorithm(arguments[0]), base, termination)
    except JobStopped as stopped:
        say(str(stopped))
    except (ClientError, AlgorithmError) as error:
        return _fail(base, str(error))
    except Exception as error:  # the process's last line: any other fault is the algorithm's
        traceback.print_exc()
        return _fail(base, str(AlgorithmError(f"{type(error).__name__}: {error}")))
    return 0


def run(algorithm: Algorithm, base: Path, termination: Termination) -> None:
    """Read the contract's files, train, save the model. Raises ClientError, AlgorithmError or JobStopped."""
    config = base / "input" / "config"
    parsed = algorithm.hyperparameters.parse(_hyperparameters(config / "hyperparameters.json"))
    for note in parsed.notes:
        say(f"Note: {note}")
    hosts = _object(config / "resourceconfig.json").get("hosts", [])
    if len(hosts) > 1:
        raise ClientError(f"The job has {len(hosts)} instances; this algorithm trains on one so far.")
    termination.training = True
    job = Job(
        channels=_channels(base),
        say=say,
        stopping=lambda: termination.asked,
        output=base / "output" / "data",
        checkpoints=_checkpoints(base),
    )
    model = algorithm.fit(parsed.values, job)
    algorithm.save(model, base / "model")


def say(line: str) -> None:
    """One line of the job's log, at once."""
    print(line, flush=True)


def _algorithm(name: str) -> Algorithm:
    try:
        return find(name)
    except UnknownAlgorithmError as error:
        raise ClientError(str(error)) from None


def _channels(base: Path) -> Mapping[str, Channel]:
    described = _object(base / "input" / "config" / "inputdataconfig.json")
    return {
        name: Channel(
            name=name,
            folder=base / "input" / "data" / name,
            content_type=str(one.get("ContentType") or ""),
            input_mode=str(one.get("TrainingInputMode") or "File"),
        )
        for name, one in described.items()
    }


def _checkpoints(base: Path) -> Path | None:
    """The folder of checkpoints, where the job keeps some. Its name is the container's; `base` may lie elsewhere."""
    named = _object(base / "input" / "config" / "checkpointconfig.json").get("LocalPath")
    if not named:
        return None
    folder = base / Path(str(named)).relative_to("/opt/ml")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _hyperparameters(path: Path) -> dict[str, str]:
    given = _object(path)
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in the file; an absent file is an empty one."""
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AlgorithmError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise AlgorithmError(f"{path} holds no JSON object")
    return value


def _fail(base: Path, sentence: str) -> int:
    print(sentence, file=sys.stderr, flush=True)
    output = base / "output"
    output.mkdir(parents=True, exist_ok=True)
    (output / "failure").write_text(sentence, encoding="utf-8")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
