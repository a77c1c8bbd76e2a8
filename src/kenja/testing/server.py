"""A Kenja server for tests: started as a process, asked over its own addresses, ended with the tests. Knows no pytest."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from kenja.testing.account import TestAccount

START_SECONDS = 60.0  # until a started server must be ready
STOP_SECONDS = 60.0
_OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy of the environment


class TestServer:
    """One running server that lets tests in (`--allow-reset`)."""

    __test__ = False  # pytest must not take it for a test

    def __init__(self, endpoint: str, process: subprocess.Popen[str] | None = None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._process = process

    @classmethod
    def start(cls, data: Path) -> TestServer:
        """Run `kenja serve` on a free port of 127.0.0.1. Raises RuntimeError with what it said when it does not start."""
        data.parent.mkdir(parents=True, exist_ok=True)
        log = data.parent / f"{data.name}.log"
        command = [sys.executable, "-m", "kenja", "serve", "--port", "0", "--data", str(data), "--allow-reset"]
        with log.open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        line = process.stdout.readline() if ready else ""
        if "Kenja is ready at " not in line:
            process.kill()
            process.wait()
            process.stdout.close()
            raise RuntimeError(f"Kenja did not start within {START_SECONDS:.0f} s. It said: {log.read_text()[-2000:]}")
        return cls(line.split()[-1], process)

    def new_account(self, region: str = "us-east-1") -> TestAccount:
        """A fresh, empty world on this server."""
        return TestAccount(self, region, self.ask("POST", "/_kenja/accounts"))

    def ask(self, method: str, path: str, **query: str) -> dict[str, Any]:
        """One of the server's own addresses. Raises RuntimeError with the server's sentence when it refuses."""
        words = f"?{urllib.parse.urlencode(query)}" if query else ""
        request = urllib.request.Request(f"{self.endpoint}{path}{words}", method=method)
        try:
            with _OPEN.open(request, timeout=60) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error
        return found

    def stop(self) -> None:
        """End the server if this object started it; its jobs end with it."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
