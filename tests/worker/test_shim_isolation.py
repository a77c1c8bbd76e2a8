"""Every isolating rung against a hostile job: no stored object changes, nothing of the data folder is read, nothing leaks to the host."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.worker.shim_jobs import USER, Job, interpreter, rungs

ATTACKS = (Path(__file__).parent / "attacks.py").read_text()
OWN_FIRST_PROCESS = {"memory_of_first_process", "trace_first_process"}  # bwrap's has no more rights than the job itself
CONTENT = "a,b\n1,2\n"


@pytest.fixture(params=rungs())
def rung(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stored_object(data_folder: Path) -> Path:
    folder = data_folder / "objects" / "view"
    folder.mkdir(parents=True)
    blob = data_folder / "objects" / "blob"
    blob.write_text(CONTENT)
    blob.chmod(0o644)
    os.link(blob, folder / "object.csv")
    return blob


def test_no_attack_succeeds(job: Job, data_folder: Path, rung: str) -> None:
    blob = stored_object(data_folder)
    before = blob.stat()
    mounts = Path("/proc/self/mountinfo").read_text()
    (job.folder / "ml" / "model").mkdir(parents=True)
    job.write(
        ATTACKS,
        rung=rung,
        argv=[str(data_folder), str(os.getpid())],
        inputs=[{"source": str(data_folder / "objects" / "view"), "target": "/opt/ml/input/data/train"}],
    )
    job.start()
    status = job.wait()
    assert status["rung"] == rung.removesuffix(USER), status
    results = json.loads(job.lines()[-1])
    assert len(results) > 40
    done = {name for name, result in results.items() if not result.startswith("denied")}
    assert done <= (OWN_FIRST_PROCESS if rung.startswith("bubblewrap") else set())
    after = blob.stat()
    assert (blob.read_text(), after.st_mode, after.st_mtime_ns, after.st_uid, after.st_nlink) == (
        CONTENT,
        before.st_mode,
        before.st_mtime_ns,
        before.st_uid,
        2,
    )
    assert status["failure"] == "", "the shim followed the job's link out of its folder"
    assert Path("/proc/self/mountinfo").read_text() == mounts
    modes = [path.lstat().st_mode for path in (job.folder / "ml").rglob("*")]
    assert not any(stat.S_ISBLK(mode) or stat.S_ISCHR(mode) for mode in modes)


def test_input_is_readable_and_own_folders_are_writable(job: Job, data_folder: Path, rung: str) -> None:
    stored_object(data_folder)
    script = (
        "import socket, os\n"
        "print(open('/opt/ml/input/data/train/object.csv').read().splitlines()[1])\n"
        "for place in ('/opt/ml/model/m', '/tmp/t', '/run/kenja/r', '/dev/shm/s'):\n"
        "    os.makedirs(os.path.dirname(place), exist_ok=True)\n"
        "    open(place, 'w').write('x')\n"
        "print(socket.gethostname(), socket.gethostbyname('algo-1'), sorted(os.listdir('/opt/ml/model')))\n"
    )
    inputs = [{"source": str(data_folder / "objects" / "view"), "target": "/opt/ml/input/data/train"}]
    status = job.run(script, rung=rung, inputs=inputs, hosts={"algo-1": "127.0.0.1"})
    assert (status["exit_code"], status["cause"]) == (0, "exit"), status
    assert job.lines()[-2:] == ["1,2", "algo-1 127.0.0.1 ['m']"]
    assert (job.folder / "ml/model/m").read_text() == (job.folder / "run/r").read_text() == "x"
    assert not Path("/opt/ml").exists()


def test_isolated_network_has_loopback_only(job: Job, rung: str) -> None:
    script = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname()); print('loopback')\n"
        "print([name for _, name in socket.if_nameindex() if name != 'lo' and not name.startswith(('sit', 'tunl', 'ip6'))])\n"
        "try: socket.create_connection(('192.0.2.1', 80), 1)\n"
        "except OSError as error: print('unreachable', error.errno)\n"
    )
    status = job.run(script, rung=rung, network="none")
    assert status["exit_code"] == 0, status
    assert job.lines()[-3:] == ["loopback", "[]", "unreachable 101"]


def test_job_sees_only_its_environment(job: Job, rung: str) -> None:
    status = job.run("import os; print(sorted(os.environ)); print(os.environ['K'])", rung=rung, env={"K": "v"})
    assert status["exit_code"] == 0
    assert job.lines()[-1] == "v"
    allowed = {
        "K",
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "PYTHONUNBUFFERED",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPATH",
        "PWD",
    }
    assert set(json.loads(job.lines()[-2].replace("'", '"'))) <= allowed | {"LC_CTYPE"}


def test_readable_must_not_hold_the_data_folder(job: Job, data_folder: Path, rung: str) -> None:
    for path in ("/", str(data_folder), str(data_folder.parent)):
        status = job.run("print('never')", rung=rung, readable=[path])
        assert status["cause"] == "launch"
        assert "data folder would be readable" in status["stderr_tail"]
    assert not any("never" in line for line in job.lines())


def test_reserved_targets_are_refused(job: Job, data_folder: Path, rung: str) -> None:
    for target in ("/etc", "/usr/lib/x", "/opt/ml", "/proc/x", "/opt/kenja/kenja_worker"):
        inputs = [{"source": str(data_folder / "objects"), "target": target}]
        status = job.run("print('never')", rung=rung, inputs=inputs)
        assert status["cause"] == "launch"
        assert target in status["stderr_tail"]


def test_planted_link_does_not_move_a_mount(job: Job, data_folder: Path, rung: str) -> None:
    """What a former attempt left in /opt/ml leads nowhere outside."""
    stored_object(data_folder)
    (job.folder / "ml").mkdir()
    (job.folder / "ml" / "input").symlink_to(data_folder)
    inputs = [{"source": str(data_folder / "objects" / "view"), "target": "/opt/ml/input/data/train"}]
    job.run("print('ran')", rung=rung, inputs=inputs)
    assert sorted(path.name for path in data_folder.iterdir()) == ["jobs", "kenja.db", "objects"]


def test_without_a_sandbox_network_isolation_is_refused(job: Job) -> None:
    status = job.run("print('never')", rung="none", network="none")
    assert status["cause"] == "launch"
    assert "Network isolation" in status["stderr_tail"]
    assert not any(line == "never" for line in job.lines())


def test_without_a_sandbox_paths_are_rewritten_inputs_copied_and_the_log_says_so(job: Job, data_folder: Path) -> None:
    blob = stored_object(data_folder)
    script = (
        "import os, sys\n"
        "base = os.environ['SAGEMAKER_BASE_DIR']; path = os.environ['TRAIN']\n"
        "assert sys.argv[1] == path and path.startswith(base)\n"
        "open(path + '/object.csv', 'w').write('CHANGED'); print('changed')\n"
    )
    status = job.run(
        script,
        rung="none",
        argv=["/opt/ml/input/data/train"],
        env={"TRAIN": "/opt/ml/input/data/train"},
        inputs=[{"source": str(data_folder / "objects" / "view"), "target": "/opt/ml/input/data/train"}],
    )
    assert (status["exit_code"], status["rung"]) == (0, "none"), status
    assert job.lines()[-1] == "changed"
    assert blob.read_text() == CONTENT
    assert any(line.startswith("[kenja]") and "can read the data folder" in line for line in job.lines())
    assert any("can read the data folder" in note for note in status["notes"])


def test_first_line_of_the_log_names_rung_and_limits(job: Job, rung: str) -> None:
    job.run("print('x')", rung=rung)
    assert job.lines()[0] == f"[kenja] Sandbox: {rung.removesuffix('-user')}. Limits: none."


def test_probe_tells_the_truth_about_every_rung() -> None:
    from kenja_worker.shim.ladder import probe

    found = {item.name: item for item in probe()}
    assert list(found) == ["namespaces", "bubblewrap", "unshare", "none"]
    assert found["none"].available
    usable = shutil.which("bwrap") is not None and os.geteuid() != 0
    assert found["bubblewrap"].available == usable, found
    assert all(item.available or item.reason for item in found.values())


def test_interpreter_of_the_user_variant_is_world_readable() -> None:
    assert Path(interpreter()).stat().st_mode & stat.S_IROTH
