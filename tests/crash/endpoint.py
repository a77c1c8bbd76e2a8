"""An endpoint with two replicas that is asked all the time: every answer is checked, and it comes back whole."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from tests.conftest import RunningServer, wait_until
from tests.crash import machine
from tests.services.sagemaker.endpoints import csv, expected, open_hosting, rows

NAME = "live"
COUNT = 2
TABLE = rows(2)
ALLOWED = {"ModelError", "ServiceUnavailable"}  # what a request may be told whose replica was killed


def deploy(server: RunningServer) -> None:
    """Create the endpoint and wait until it serves."""
    open_hosting(server, server.keys).deploy(NAME, count=COUNT)


def delete(server: RunningServer, seconds: float = 30.0) -> bool:
    """Delete the endpoint; True when it is gone, its processes with it."""
    sagemaker = server.client("sagemaker")
    sagemaker.delete_endpoint(EndpointName=NAME)
    wait_until(lambda: not sagemaker.list_endpoints()["Endpoints"], seconds)
    return not shims(server)


def is_whole(server: RunningServer) -> bool:
    """True when all replicas answer."""
    described = server.client("sagemaker").describe_endpoint(EndpointName=NAME)
    assert described["EndpointStatus"] == "InService", described
    (variant,) = described["ProductionVariants"]
    return bool(variant["CurrentInstanceCount"] == COUNT)


def shims(server: RunningServer) -> dict[int, Path]:
    """The running shims of its replicas with their folders."""
    return {pid: folder for pid, folder in machine.shims(server).items() if _is_replica(folder)}


def others(server: RunningServer) -> list[Path]:
    """Folders of jobs: those that are no replica's."""
    kept = set(shims(server).values())
    return [folder for folder in (server.data / "jobs").iterdir() if folder not in kept]


def _is_replica(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "spec.json").read_bytes())["name"] == NAME)
    except FileNotFoundError:
        return False


class Asker:
    """A client that asks until `stop`, and counts."""

    def __init__(self, server: RunningServer) -> None:
        self.good = 0
        self._runtime = server.client("sagemaker-runtime")
        self._end = threading.Event()
        self._wrong: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """End it; fails when an answer was wrong."""
        self._end.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "a client hangs"
        assert not self._wrong, self._wrong

    def _run(self) -> None:
        while not self._end.wait(0.02):
            try:
                self._ask()
            except ClientError as error:
                if error.response["Error"]["Code"] not in ALLOWED:
                    self._wrong.append(str(error))
            except BotoCoreError:  # the gateway died
                self._end.wait(0.1)
            except Exception as error:
                self._wrong.append(repr(error))

    def _ask(self) -> None:
        answer = self._runtime.invoke_endpoint(EndpointName=NAME, ContentType="text/csv", Body=csv(TABLE))
        text = answer["Body"].read().decode()
        if np.allclose([float(value) for value in text.split(",")], expected(TABLE), atol=1e-6):
            self.good += 1
        else:
            self._wrong.append(text)
