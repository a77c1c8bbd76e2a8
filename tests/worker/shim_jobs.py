"""Job folders for the shim's tests, run by a real shim as root or as an ordinary user. No fixtures here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "src"


USER = "-user"  # suffix of a rung: tried by a shim without privileges
UNPRIVILEGED = 65533


def interpreter() -> str:
    """A Python that every user may run; the tests' own may lie below a closed home."""
    return next(path for path in ("/usr/bin/python3", sys.executable) if Path(path).exists())


def rungs() -> list[str]:
    """The isolating rungs of this machine. Root tries each with and without its privileges."""
    asked = "from kenja_worker.shim.ladder import ISOLATING, probe\n"
    asked += "print(*(rung.name for rung in probe() if rung.available and rung.name in ISOLATING))"
    found = subprocess.check_output([sys.executable, "-c", asked], text=True).split()  # a trial needs a main thread
    assert found, "no isolating rung here: nothing of the sandbox can be tested"
    if os.geteuid() != 0:
        return found
    helper = ["bubblewrap" + USER] if shutil.which("bwrap") else []
    return [*found, *(name + USER for name in found), *helper]


@dataclass
class Job:
    folder: Path
    user: int | None = None
    process: subprocess.Popen[bytes] | None = None

    def write(self, script: str, **changes: Any) -> None:
        """A spec that runs `script` with this interpreter, and whatever `changes` say."""
        from kenja_worker.shim.sandbox import interpreter_paths

        rung = str(changes.get("rung", "auto"))
        as_user = rung.endswith(USER)
        python = interpreter() if as_user else sys.executable
        code = self.folder / "code"
        code.mkdir(exist_ok=True)
        (code / "program.py").write_text(script)
        spec: dict[str, Any] = {
            "version": 1,
            "id": self.folder.name,
            "name": "job",
            "kind": "training",
            "python": python,
            "readable": interpreter_paths(python),
            "module": "program",
            "argv": [],
            "log_segment": str(self.folder / "log.jsonl"),
            "timeout_seconds": 20,
            "grace_seconds": 1,
        }
        changes["rung"] = rung.removesuffix(USER)
        code_input = {"source": str(code), "target": "/opt/ml/program"}
        changes["inputs"] = [*changes.get("inputs", []), code_input]
        changes["working_directory"] = changes.get("working_directory", "/opt/ml/program")
        (self.folder / "spec.json").write_text(json.dumps(spec | changes))
        self.user = UNPRIVILEGED if as_user else None
        if as_user:
            for path in (self.folder, *self.folder.rglob("*")):
                os.lchown(path, UNPRIVILEGED, UNPRIVILEGED)
            for path in (self.folder.parent, self.folder.parent.parent):
                path.chmod(0o711)

    def start(self) -> None:
        with (self.folder / "shim.log").open("wb") as log:
            self.process = subprocess.Popen(
                [interpreter() if self.user else sys.executable, "-m", "kenja_worker.shim", str(self.folder)],
                env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )

    def run(self, script: str, **changes: Any) -> dict[str, Any]:
        self.write(script, **changes)
        self.start()
        return self.wait()

    def wait(self) -> dict[str, Any]:
        assert self.process is not None
        self.process.wait(30)
        status: dict[str, Any] = json.loads((self.folder / "status.json").read_bytes())
        assert status["state"] == "exited", (self.folder / "shim.log").read_text()
        return status

    def lines(self) -> list[str]:
        return [json.loads(line)[1] for line in (self.folder / "log.jsonl").read_text().splitlines()]

    def await_line(self, text: str) -> None:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if (self.folder / "log.jsonl").exists() and text in self.lines():
                return
            time.sleep(0.02)
        raise AssertionError(f"{text!r} was never logged: {self.lines()} {(self.folder / 'shim.log').read_text()}")

    def signal(self, number: int) -> None:
        os.kill(int((self.folder / "pid").read_text().split()[0]), number)
