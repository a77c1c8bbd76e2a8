"""Runs a job's module in a fork of the zygote, as `python -m` would. The libraries are imported already; nothing is isolated here."""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import io
import os
import runpy
import signal
import sys
import threading
import traceback
from typing import NoReturn, TextIO

from kenja_worker.shim.child import Program

_BLAS = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads")
_THREAD_SETTINGS = (  # (part of a library's file name, setting, functions that obey it)
    ("openblas", "OPENBLAS_NUM_THREADS", _BLAS),
    ("gomp", "OMP_NUM_THREADS", ("omp_set_num_threads",)),
    ("libomp", "OMP_NUM_THREADS", ("omp_set_num_threads",)),
    ("iomp5", "OMP_NUM_THREADS", ("omp_set_num_threads",)),
)


def run_in_process(program: Program) -> NoReturn:
    """Never returns: the stack below belongs to the zygote. Exit codes are those of the interpreter."""
    code = 1
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # what the interpreter sets at its start
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(program.env)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  it lives as long as the process
        sys.stdout, sys.stderr = _stream(1), _stream(2)
        sys.path[:0] = ["", *(part for part in program.env.get("PYTHONPATH", "").split(os.pathsep) if part)]
        _relocate()
        sys.argv = [program.module, *program.argv]
        _restore_threads()
        _reseed()
        gc.enable()
        code = _exit_code(program.module)
        threading._shutdown()  # type: ignore[attr-defined]  # waits for the job's threads, as the interpreter's end does
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _relocate() -> None:
    """kenja_worker was imported where the zygote saw it; the sandbox shows it elsewhere, and more of it may be needed."""
    name = __name__.partition(".")[0]
    root = next((path for path in sys.path if os.path.isfile(os.path.join(path, name, "__init__.py"))), None)
    if root is None:
        return
    for full, module in list(sys.modules.items()):
        if full.partition(".")[0] == name and hasattr(module, "__path__"):
            module.__path__ = [os.path.join(root, *full.split("."))]
    importlib.invalidate_caches()


def _exit_code(module: str) -> int:
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:
        traceback.print_exception(error)
        return 1
    return 0


def _stream(number: int) -> TextIO:
    return io.TextIOWrapper(
        io.FileIO(number, "w", closefd=False), encoding="utf-8", errors="backslashreplace", write_through=True
    )


def _reseed() -> None:
    """NumPy's global generator was seeded in the zygote; without this all its jobs would draw the same numbers."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _restore_threads() -> None:
    """Pools were held to one thread while the zygote preloaded; give the job its cores, or what its environment says."""
    with open("/proc/self/maps") as maps:
        libraries = sorted({line.split(maxsplit=5)[5].rstrip("\n") for line in maps if ".so" in line})
    for library in libraries:
        for part, setting, functions in _THREAD_SETTINGS:
            if part not in os.path.basename(library):
                continue
            wanted = os.environ.get(setting, "")
            count = int(wanted) if wanted.isdigit() and int(wanted) else len(os.sched_getaffinity(0))
            handle = ctypes.CDLL(library)
            for function in functions:
                if hasattr(handle, function):
                    getattr(handle, function)(count)
