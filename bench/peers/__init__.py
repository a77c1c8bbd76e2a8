"""Other model servers with the model of bench/serving.py: how each is started and asked. Each runs in an environment of its own.

The applications beside this file run there; nothing of them is imported here.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
START = 120.0  # seconds until a peer must answer


@dataclass(frozen=True)
class Address:
    """Where a server answers, the request to send it, and its root processes."""

    host: str
    port: int
    request: bytes
    roots: list[int]


@dataclass(frozen=True)
class Peer:
    """`command(python, port, folder)` starts it; `body(row)` is its way to write one CSV row."""

    environment: str  # requirements/NAME.txt
    distribution: str
    command: Callable[[str, int, Path], list[str]]
    body: Callable[[bytes], bytes]
    content_type: str
    path: str = "/invocations"


def post(host: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A whole HTTP request."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() != "host")
    return f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def running(peer: Peer, python: Path, folder: Path, model: bytes, row: bytes) -> Iterator[Address]:
    """The peer with the model, ready to answer."""
    folder.mkdir(parents=True)
    (folder / "model.ubj").write_bytes(model)
    port = free_port()
    environment = {
        **os.environ, "MODEL": str(folder / "model.ubj"), "PORT": str(port), "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(HERE), "PATH": f"{python.parent}:{os.environ['PATH']}", "BENTOML_HOME": str(folder / "bento"),
        "BENTOML_DO_NOT_TRACK": "True", "LITSERVE_DISABLE_TELEMETRY": "1", "HOME": str(folder),
    }  # fmt: skip
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        peer.command(str(python), port, folder),
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    request = post(f"127.0.0.1:{port}", peer.path, {"Content-Type": peer.content_type}, peer.body(row))
    try:
        _wait(port, request, process, folder / "log")
        yield Address("127.0.0.1", port, request, [process.pid])
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


def _wait(port: int, request: bytes, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
                line.sendall(request)
                if line.recv(4096).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            pass  # not yet
        time.sleep(0.2)
    raise RuntimeError(f"it did not answer with 200 within {START:.0f} s: {log.read_text(errors='replace')[-2000:]}")


def _plain(row: bytes) -> bytes:
    return row


def _instances(row: bytes) -> bytes:
    return json.dumps({"instances": [[float(cell) for cell in row.split(b",")]]}).encode()


def _v2(row: bytes) -> bytes:
    data = [float(cell) for cell in row.split(b",")]
    return json.dumps(
        {"inputs": [{"name": "rows", "shape": [1, len(data)], "datatype": "FP32", "data": data}]}
    ).encode()


def _uvicorn(python: str, port: int, _folder: Path) -> list[str]:
    return [python, "-m", "uvicorn", "fastapi_app:app", "--port", str(port), "--log-level", "error", "--no-access-log"]


def _litserve(python: str, _port: int, _folder: Path) -> list[str]:
    return [python, str(HERE / "litserve_app.py")]


def _bentoml(python: str, port: int, _folder: Path) -> list[str]:
    words = ["serve", "bentoml_app:Service", "--working-dir", str(HERE), "--host", "127.0.0.1", "--port", str(port)]
    return [python, "-m", "bentoml", *words]


def _mlserver(python: str, port: int, folder: Path) -> list[str]:
    place = folder / "mlserver"
    (place / "bench").mkdir(parents=True)
    settings = {
        "host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_port": free_port(),
        "parallel_workers": 0, "debug": False, "access_log": False,
    }  # fmt: skip
    (place / "settings.json").write_text(json.dumps(settings))
    (place / "bench" / "model-settings.json").write_text(
        json.dumps({"name": "bench", "implementation": "mlserver_app.Runtime"})
    )
    return [str(Path(python).with_name("mlserver")), "start", str(place)]


PEERS: Mapping[str, Peer] = {
    "fastapi+uvicorn": Peer("bench", "fastapi", _uvicorn, _plain, "text/csv"),
    "litserve": Peer("bench-litserve", "litserve", _litserve, _instances, "application/json"),
    "bentoml": Peer("bench-bentoml", "bentoml", _bentoml, _plain, "text/plain"),
    "mlserver": Peer("bench-mlserver", "mlserver", _mlserver, _v2, "application/json", "/v2/models/bench/infer"),
}
