"""Clients that keep an endpoint busy while something happens to it. No test here."""

from __future__ import annotations

import threading
import time
from typing import Self

import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from tests.services.sagemaker.endpoints import Hosting, rows

TABLE = rows(2)


class Traffic:
    """Clients that ask an endpoint all the time; every answer must be one of the true ones."""

    def __init__(self, hosting: Hosting, name: str, truths: list[list[float]], clients: int = 4) -> None:
        self.good = 0
        self.bad: list[str] = []
        self._hosting, self._name, self._truths = hosting, name, truths
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                found = self._hosting.predict(self._name, TABLE)
                if any(np.allclose(found, truth, atol=1e-6) for truth in self._truths):
                    self.good += 1
                else:
                    self.bad.append(f"wrong: {found}")
            except ClientError as error:
                self.bad.append(error.response["Error"]["Code"])
            except BotoCoreError as error:
                self.bad.append(type(error).__name__)
                time.sleep(0.05)
