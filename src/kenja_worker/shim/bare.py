"""The rung "none": no isolation at all. /opt/ml is rewritten to the job's folder, inputs are copies; what cannot be honoured is refused."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from kenja_worker.shim.child import BareChild, Program, close_ends, pipes
from kenja_worker.shim.files import copy_tree
from kenja_worker.shim.keeper import close_all_but, keep, reset_signals
from kenja_worker.shim.sandbox import LIBRARY, ML, RUN, check_target, package_folder
from kenja_worker.shim.spec import Spec, SpecError

NOTE = (
    "This job runs WITHOUT ISOLATION: its code can read the data folder, with every stored object and key in it, and all that "
    "this user can read. Its inputs are copies. `kenja doctor` says why no sandbox could be had."
)


def check(spec: Spec) -> None:
    """Raises SpecError for what this rung cannot honour."""
    if spec.network == "none":
        raise SpecError("Network isolation was asked for, but this machine allows no sandbox; see `kenja doctor`.")
    for item in spec.inputs:
        if not check_target(item).startswith(f"{ML}/"):
            raise SpecError(f"Without a sandbox an input must lie below {ML}; one is at {item.target!r}.")


def prepare(folder: Path, spec: Spec, program: Program) -> Program:
    """Copy the inputs, put kenja_worker where the job can import it and rewrite paths in arguments and environment."""
    for item in spec.inputs:
        copy_tree(Path(item.source), Path(_rewrite(folder, item.target)))
    library = folder / "lib"
    library.mkdir(exist_ok=True)
    link = library / "kenja_worker"
    if link.is_symlink():
        link.unlink()
    link.symlink_to(package_folder())
    environment = {name: _rewrite(folder, value) for name, value in program.env.items()}
    environment |= {
        "SAGEMAKER_BASE_DIR": str(folder / "ml"),
        "HOME": str(folder / "tmp"),
        "TMPDIR": str(folder / "tmp"),
    }
    return Program(
        program.python,
        program.module,
        tuple(_rewrite(folder, word) for word in program.argv),
        environment,
        _rewrite(folder, program.directory),
        program.in_process,
        program.resources,
        program.processors,
    )


def start(program: Program) -> BareChild:
    ends, own = pipes()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            try:
                close_all_but(ends.numbers())
                reset_signals()
                os.setsid()
                ends.wait_for_go()
                keep(program, ends, isolated=False)
            except BaseException as error:
                ends.send("failed", error=f"{type(error).__name__}: {error}")
            finally:
                os._exit(1)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        close_ends(ends)
    return BareChild(pid, *own)


def _rewrite(folder: Path, text: str) -> str:
    for inside, outside in ((ML, "ml"), (RUN, "run"), (LIBRARY, "lib")):
        text = text.replace(inside, str(folder / outside))
    return text
