"""Script mode inside the sandbox: unpack the source, set SM_*, run the entry point. Installs nothing, fetches nothing, knows no S3."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import runpy
import sys
import tarfile
import traceback
from pathlib import Path
from typing import NoReturn

from kenja_worker.shim.environment import ScriptJob, arguments, environment, read_job

STAGED = "input/source"  # below /opt/ml: where the platform puts the source archive, or the unpacked source
_MAX_SOURCE = 20 * 1024**3  # bytes unpacked; an archive that grows beyond it is an attack or a mistake


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m kenja_worker.shim.script")
    parser.add_argument(
        "--source", type=Path, help=f"archive or folder with the source; default: what lies in /opt/ml/{STAGED}"
    )
    options = parser.parse_args(words)
    job = read_job(Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")))
    code = job.ml / "code"
    if not job.program:
        return _refuse("No entry point: hyper-parameter sagemaker_program is missing.")
    source = options.source or staged_source(job)
    try:
        if source is not None:
            unpack(source, code)
    except (OSError, tarfile.TarError, ValueError) as error:
        return _refuse(f"The source {source} could not be unpacked: {error}")
    if not (code / job.program).exists():
        return _refuse(
            f"The entry point {job.program!r} is not in the source; it holds {sorted(os.listdir(code))[:20]}."
        )
    _name_missing_requirements(code)
    os.environ.update(environment(job))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])
    for folder in ("model", "output/data", "output/intermediate"):
        (job.ml / folder).mkdir(parents=True, exist_ok=True)
    os.chdir(code)
    sys.path.insert(0, str(code))
    return run(code, job)


def staged_source(job: ScriptJob) -> Path | None:
    """A path in sagemaker_submit_directory, else the archive that the platform staged, else None: the code is there already."""
    local = Path(job.submit_directory)
    if local.is_absolute() and local.exists() and local != job.ml / "code":
        return local
    staged = job.ml / STAGED
    named = staged / job.submit_directory.rstrip("/").rpartition("/")[2]
    if named.is_file():
        return named
    return staged if staged.is_dir() else None


def unpack(source: Path, code: Path) -> None:
    """Files only below `code`: no absolute names, no "..", no links out of it, no devices."""
    code.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        archives = sorted(source.glob("*.tar.gz"))
        if len(archives) != 1:
            for path in source.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    target = code / path.relative_to(source)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(path.read_bytes())
            return
        source = archives[0]
    with tarfile.open(source) as archive:
        total = 0
        for member in archive:
            total += member.size
            if total > _MAX_SOURCE:
                raise ValueError(f"it unpacks to more than {_MAX_SOURCE} bytes")
            archive.extract(member, code, filter="data")


def run(code: Path, job: ScriptJob) -> int:
    """The entry point's kind decides: a package with setup.py, a Python file, anything else through the shell."""
    words = arguments(job.own)
    if (code / "setup.py").is_file():
        return run_python(job.program.removesuffix(".py").replace("/", "."), words, module=True)
    if job.program.endswith(".py"):
        return run_python(str(code / job.program), words, module=False)
    return os.execv("/bin/sh", ["/bin/sh", "-c", './"$0" "$@"', job.program, *words])


def run_python(program: str, words: list[str], *, module: bool) -> int:
    """In this process, so that what a zygote has imported stays imported. Traceback and exit code are the script's own."""
    sys.argv = [program, *words]
    try:
        if module:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(program, run_name="__main__")
    except SystemExit:
        raise
    except BaseException as error:
        sys.stdout.flush()
        traceback.print_exception(_without_our_frames(error))
        return 1
    return 0


def _without_our_frames(error: BaseException) -> BaseException:
    frame = error.__traceback__
    while frame is not None and _is_ours(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return error.with_traceback(frame or error.__traceback__)


def _is_ours(name: str) -> bool:
    return name == __file__ or "runpy" in name


def _name_missing_requirements(code: Path) -> None:
    """The platform installs requirements.txt before the job starts; say so plainly where something of it is not there."""
    path = code / "requirements.txt"
    if not path.is_file():
        return
    names = [
        match[0] for line in path.read_text().splitlines() if (match := re.match(r"[A-Za-z0-9][\w.-]*", line.strip()))
    ]
    missing = []
    for name in names:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        print(
            f"[kenja] requirements.txt names packages that this runtime does not have: {missing}",
            file=sys.stderr,
            flush=True,
        )


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr, flush=True)
    return 1


def _leave() -> NoReturn:
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    _leave()
