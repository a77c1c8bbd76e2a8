"""`python -m kenja_worker.modelserver --socket PATH (--algorithm NAME | --framework NAME --program FILE)`: serves until SIGTERM.

The socket appears when the model is loaded; whoever can connect, can invoke.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from kenja_worker.algorithms.errors import ClientError
from kenja_worker.modelserver import frameworks, toolkit
from kenja_worker.modelserver.connection import listen
from kenja_worker.modelserver.pool import Pool
from kenja_worker.modelserver.server import Server, open_handler

WORKERS = "SAGEMAKER_MODEL_SERVER_WORKERS"
TIMEOUTS = ("SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "SAGEMAKER_MODEL_SERVER_TIMEOUT")
DEFAULT_TIMEOUT = 60.0  # seconds; sagemaker-inference toolkit
MAX_WORKERS = 4  # without a wish: AWS starts one a core, and each holds the model


def main(arguments: list[str] | None = None) -> int:
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    parser = argparse.ArgumentParser(prog="python -m kenja_worker.modelserver", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--algorithm", help="a built-in algorithm")
    kind.add_argument("--framework", help="whose defaults a script's missing functions have")
    parser.add_argument("--model", type=Path, default=base / "model")
    parser.add_argument("--code", default="model/code", help="folder of the script, below the base folder")
    parser.add_argument("--program", default=toolkit.DEFAULT_PROGRAM, help="the script's file in that folder")
    given = parser.parse_args(arguments)
    try:
        if given.algorithm:
            return _serve_algorithm(given.algorithm, given.model, given.socket)
        return _serve_script(given.framework, base / given.code, given.program, given.model, given.socket)
    except ClientError as error:
        print(error, file=sys.stderr, flush=True)
        return 1


def _serve_algorithm(algorithm: str, model: Path, socket: Path) -> int:
    handler = open_handler(algorithm, model)
    upgrade = handler.upgrade()  # before the socket appears: what forks must hold no connection
    server = Server(handler, listen(socket), upgrade)
    signal.signal(signal.SIGTERM, server.stop)
    print(f"model server: {algorithm} is ready at {socket}", flush=True)
    server.run()
    socket.unlink(missing_ok=True)
    return 0


def _serve_script(framework: str, code: Path, program: str, model: Path, socket: Path) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("SM_MODEL_DIR", str(model))
    os.environ.setdefault("SM_NUM_CPUS", str(cores))
    os.environ.setdefault("SM_NUM_GPUS", "0")
    os.environ.setdefault("SM_USER_ENTRY_POINT", program)
    defaults = frameworks.find(framework)

    def load() -> toolkit.Toolkit:
        return toolkit.Toolkit(toolkit.functions(toolkit.import_script(code, program), defaults), model)

    workers = _number((WORKERS,), min(cores, MAX_WORKERS))
    timeout = _number(TIMEOUTS, DEFAULT_TIMEOUT)
    pool = Pool(load, int(workers), timeout)
    signal.signal(signal.SIGTERM, pool.stop)
    return pool.serve(socket)


def _number(names: tuple[str, ...], default: float) -> float:
    """The first of these variables that is set. Raises ClientError for what is no positive number."""
    for name in names:
        if text := os.environ.get(name):
            try:
                number = float(text)
            except ValueError:
                number = 0.0
            if number < 1:
                raise ClientError(f"{name} is {text!r}; it must be a number from 1 on.")
            return number
    return default
