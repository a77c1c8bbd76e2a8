"""The rung "unshare": util-linux's command makes the namespaces, where only it may; the sandbox in them is namespaces.py's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from typing import Any, NoReturn

from kenja_worker.shim import namespaces, system
from kenja_worker.shim.child import Ends, Program, UnshareChild, close_ends, pipes
from kenja_worker.shim.keeper import close_all_but, reset_signals
from kenja_worker.shim.sandbox import Bind, Link, Plan, Text, package_folder

_ENTRIES = {kind.__name__: kind for kind in (Bind, Text, Link)}


def start(plan: Plan, program: Program) -> UnshareChild:
    """Raises FileNotFoundError if the command is not installed; what it refuses is reported through the child's pipes."""
    command = shutil.which("unshare")
    if command is None:
        raise FileNotFoundError("unshare is not installed (package util-linux)")
    ends, own = pipes()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _outside([command, *_options(plan)], plan, program, ends)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        close_ends(ends)
    return UnshareChild(pid, *own)


def _options(plan: Plan) -> list[str]:
    words = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=SIGKILL"]
    words += [] if system.is_privileged() else ["--user", "--map-current-user", "--keep-caps"]
    return words + (["--net"] if plan.isolated_network else [])


def _outside(words: list[str], plan: Plan, program: Program, ends: Ends) -> NoReturn:
    try:
        close_all_but(ends.numbers())
        reset_signals()
        system.die_with_parent()
        ends.wait_for_go()  # in the job's control groups by now, so that what is forked below is in them too
        with tempfile.TemporaryFile() as orders:
            orders.write(json.dumps(_as_orders(plan, program, ends)).encode())
            orders.seek(0)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            for number, place in ((ends.stdout, 1), (ends.stderr, 2)):
                os.dup2(number, place)  # what the command itself complains about
            for number in (orders.fileno(), *ends.numbers()):
                os.set_inheritable(number, True)
            words += ["--", sys.executable, "-m", __name__, str(orders.fileno())]
            os.execve(
                words[0], words, {"PYTHONPATH": os.path.dirname(package_folder()), "PYTHONDONTWRITEBYTECODE": "1"}
            )
    except BaseException as error:
        os.write(ends.stderr, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def _as_orders(plan: Plan, program: Program, ends: Ends) -> dict[str, Any]:
    entries = [{"kind": type(entry).__name__, **asdict(entry)} for entry in plan.entries]
    facts = asdict(program) | {"in_process": False, "env": dict(program.env)}
    return {"plan": {**asdict(plan), "entries": entries}, "program": facts, "ends": asdict(ends)}


def _from_orders(orders: dict[str, Any]) -> tuple[Plan, Program, Ends]:
    described = orders["plan"].pop("entries")
    entries = tuple(_ENTRIES[entry.pop("kind")](**entry) for entry in described)
    facts = orders["program"]
    facts |= {"argv": tuple(facts["argv"]), "resources": tuple((which, value) for which, value in facts["resources"])}
    return Plan(entries=entries, **orders["plan"]), Program(**facts), Ends(**orders["ends"])


def main(arguments: list[str]) -> NoReturn:
    """In the new namespaces, as their first process."""
    with os.fdopen(int(arguments[0]), "rb") as handle:
        plan, program, ends = _from_orders(json.load(handle))
    namespaces.enter(plan, program, ends, change_user=system.is_privileged())


if __name__ == "__main__":
    main(sys.argv[1:])
