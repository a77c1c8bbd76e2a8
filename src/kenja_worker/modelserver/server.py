"""The server of one model that answers many requests at once: natural batching, in one thread, without a timer."""

from __future__ import annotations

import importlib
import socket
from pathlib import Path
from typing import Any

from kenja_worker.algorithms.errors import ClientError
from kenja_worker.modelserver import batching
from kenja_worker.modelserver.frames import Frame
from kenja_worker.modelserver.handler import Handler
from kenja_worker.modelserver.loop import Arrived, Loop
from kenja_worker.modelserver.upgrade import Upgrade


class Server(Loop):
    """Answers all connections of one listening socket with one handler."""

    def __init__(self, handler: Handler, listener: socket.socket, upgrade: Upgrade | None = None) -> None:
        super().__init__()
        self._handler = handler
        self.listen(listener)
        if upgrade is not None:
            self.add(upgrade)

    def answer(self, arrived: Arrived) -> None:
        everything: list[Frame] = arrived[0][1] if len(arrived) == 1 else [frame for _, few in arrived for frame in few]
        answers = batching.answer_all(self._handler, everything)
        start = 0
        for connection, requests in arrived:
            end = start + len(requests)
            self.send(connection, answers[start:end])
            start = end

    def attend(self, source: Any) -> None:
        upgrade: Upgrade = source
        self.remove(upgrade)
        print(f"model server: {upgrade.finish()}", flush=True)


def open_handler(algorithm: str, model: Path) -> Handler:
    """The handler of a built-in algorithm for the model below the folder. Raises ClientError."""
    module = f"kenja_worker.algorithms.{algorithm}.serve"
    try:
        serve = importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name is None or not module.startswith(missing.name):
            raise
        raise ClientError(f"There is no built-in algorithm '{algorithm}' that serves models.") from None
    handler: Handler = serve.open_handler(model)
    return handler
