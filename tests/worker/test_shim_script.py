"""Script mode: the environment, arguments and entry points that SageMaker's contract promises (names: the toolkit's, values by hand)."""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kenja_worker.shim.config_files import Channel, Host, decode_hyperparameters, write_config
from kenja_worker.shim.environment import arguments, environment, read_job
from kenja_worker.shim.script import unpack
from tests.worker.shim_jobs import Job

# What a script received in a run of sagemaker-training 5.1.4, apart from channels and hyper-parameters
NAMES = {
    "SM_HOSTS",
    "SM_CURRENT_HOST",
    "SM_NETWORK_INTERFACE_NAME",
    "SM_CURRENT_INSTANCE_TYPE",
    "SM_CURRENT_INSTANCE_GROUP",
    "SM_CURRENT_INSTANCE_GROUP_HOSTS",
    "SM_INSTANCE_GROUPS",
    "SM_INSTANCE_GROUPS_DICT",
    "SM_DISTRIBUTION_INSTANCE_GROUPS",
    "SM_IS_HETERO",
    "SM_RESOURCE_CONFIG",
    "SM_INPUT_DATA_CONFIG",
    "SM_HPS",
    "SM_USER_ARGS",
    "SM_USER_ENTRY_POINT",
    "SM_MODULE_NAME",
    "SM_MODULE_DIR",
    "SM_FRAMEWORK_MODULE",
    "SM_FRAMEWORK_PARAMS",
    "SM_LOG_LEVEL",
    "SM_CHANNELS",
    "SM_INPUT_DIR",
    "SM_INPUT_CONFIG_DIR",
    "SM_OUTPUT_DIR",
    "SM_OUTPUT_DATA_DIR",
    "SM_OUTPUT_INTERMEDIATE_DIR",
    "SM_MODEL_DIR",
    "SM_NUM_CPUS",
    "SM_NUM_GPUS",
    "SM_NUM_NEURONS",
    "SM_TRAINING_ENV",
    "SAGEMAKER_JOB_NAME",
    "SAGEMAKER_REGION",
}
HYPERPARAMETERS = {
    "n-estimators": "10",
    "optimizer": '"adam"',
    "plain": "not json",
    "flag": "true",
    "m": '{"b": 1, "a": "x"}',
    "layers": "[1, 2]",
    "sagemaker_program": '"train.py"',
    "sagemaker_submit_directory": '"s3://bucket/key/sourcedir.tar.gz"',
    "sagemaker_region": '"eu-west-1"',
    "sagemaker_job_name": '"my-job"',
    "sagemaker_container_log_level": "10",
    "sagemaker_mpi_enabled": "false",
    "_tuning_objective_metric": "validation:auc",
}
CHANNELS = {"train": Channel("text/csv"), "validation": Channel()}
HOST = Host("algo-1", ["algo-1"], "ml.m5.large")


def archive(path: Path, files: dict[str, str], *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as handle:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o755
            handle.addfile(member, io.BytesIO(text.encode()))
        for member in members:
            handle.addfile(member)
    return path


def run_script(job: Job, files: dict[str, str], **changes: Any) -> dict[str, Any]:
    """`files` as the submitted source, train.py as its entry point unless the hyper-parameters say otherwise."""
    hyperparameters = changes.pop("hyperparameters", HYPERPARAMETERS)
    write_config(job.folder / "ml", hyperparameters, CHANNELS, HOST)
    source = job.folder / "source"
    source.mkdir()
    archive(source / "sourcedir.tar.gz", files)
    staged = {"source": str(source), "target": "/opt/ml/input/source"}
    return job.run("", module="kenja_worker.shim.script", inputs=[staged], working_directory="/opt/ml", **changes)


def test_environment_has_every_name_and_value(tmp_path: Path) -> None:
    write_config(tmp_path, HYPERPARAMETERS, CHANNELS, HOST)
    found = environment(read_job(tmp_path))
    extra = {f"SM_CHANNEL_{name}" for name in ("TRAIN", "VALIDATION")}
    extra |= {f"SM_HP_{name}" for name in ("N-ESTIMATORS", "OPTIMIZER", "PLAIN", "FLAG", "M", "LAYERS")}
    assert set(found) == NAMES | extra
    expected = {
        "SM_HP_N-ESTIMATORS": "10",
        "SM_HP_OPTIMIZER": "adam",
        "SM_HP_PLAIN": "not json",
        "SM_HP_FLAG": "true",
        "SM_HP_M": '{"a":"x","b":1}',
        "SM_HPS": '{"flag":true,"layers":[1,2],"m":{"a":"x","b":1},"n-estimators":10,"optimizer":"adam","plain":"not json"}',
        "SM_FRAMEWORK_PARAMS": '{"sagemaker_mpi_enabled":false}',
        "SM_CHANNELS": '["train","validation"]',
        "SM_CHANNEL_TRAIN": f"{tmp_path}/input/data/train",
        "SM_MODEL_DIR": f"{tmp_path}/model",
        "SM_OUTPUT_DATA_DIR": f"{tmp_path}/output/data",
        "SM_HOSTS": '["algo-1"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_INSTANCE_GROUPS": '["homogeneousCluster"]',
        "SM_DISTRIBUTION_INSTANCE_GROUPS": "[]",
        "SM_IS_HETERO": "false",
        "SM_LOG_LEVEL": "10",
        "SM_USER_ENTRY_POINT": "train.py",
        "SM_MODULE_NAME": "train",
        "SM_MODULE_DIR": "s3://bucket/key/sourcedir.tar.gz",
        "SM_FRAMEWORK_MODULE": "",
        "SM_NETWORK_INTERFACE_NAME": "eth0",
        "SAGEMAKER_REGION": "eu-west-1",
        "SAGEMAKER_JOB_NAME": "my-job",
    }
    assert {name: found[name] for name in expected} == expected
    whole = json.loads(found["SM_TRAINING_ENV"])
    assert whole["hyperparameters"]["m"] == {"a": "x", "b": 1}
    assert whole["is_master"] is True
    assert whole["input_data_config"]["train"]["ContentType"] == "text/csv"


def test_arguments_are_sorted_and_short_names_get_one_dash() -> None:
    values = decode_hyperparameters(
        {name: value for name, value in HYPERPARAMETERS.items() if not name.startswith(("s", "_"))}
    )
    words = ["--flag", "True", "--layers", "[1, 2]", "-m", "a=x,b=1", "--n-estimators", "10"]
    assert arguments(values) == [*words, "--optimizer", "adam", "--plain", "not json"]


def test_script_gets_arguments_environment_and_its_own_modules(job: Job) -> None:
    files = {
        "train.py": "import helper, os, sys, json\nprint(json.dumps([sys.argv, os.environ['SM_MODEL_DIR'], helper.X, __name__]))\n"
        "open(os.path.join(os.environ['SM_MODEL_DIR'], 'model.txt'), 'w').write('fitted')\nprint(repr(sys.stdin.read()))\n",
        "helper.py": "X = 5\n",
    }
    status = run_script(job, files)
    assert (status["exit_code"], status["cause"]) == (0, "exit"), job.lines()
    argv, model, helper, name = json.loads(job.lines()[1])
    assert argv[0] == "/opt/ml/code/train.py"
    assert argv[1:5] == ["--flag", "True", "--layers", "[1, 2]"]
    assert (model, helper, name) == ("/opt/ml/model", 5, "__main__")
    assert job.lines()[2] == "''"
    assert (job.folder / "ml/model/model.txt").read_text() == "fitted"


def test_traceback_shows_the_script_only_and_exit_code_is_kept(job: Job) -> None:
    status = run_script(job, {"train.py": "def fit():\n    raise RuntimeError('diverged')\nfit()\n"})
    assert status["exit_code"] == 1
    assert status["stderr_tail"].splitlines()[-1] == "RuntimeError: diverged"
    assert "/opt/ml/code/train.py" in status["stderr_tail"]
    assert "runpy" not in status["stderr_tail"]


def test_exit_code_of_the_script_is_kept(job: Job) -> None:
    assert run_script(job, {"train.py": "raise SystemExit(43)"})["exit_code"] == 43


def test_package_with_setup_py_runs_as_a_module(job: Job) -> None:
    files = {"setup.py": "", "train.py": "print('module', __package__ == '')\n"}
    assert run_script(job, files)["exit_code"] == 0
    assert job.lines()[-1] == "module True"


def test_other_entry_points_go_through_the_shell(job: Job) -> None:
    files = {"run.sh": '#!/bin/sh\necho "$1" "$2"; exit 5\n'}
    parameters = {"sagemaker_program": "run.sh", "text": '"a b; $(id)"'}
    assert run_script(job, files, hyperparameters=parameters)["exit_code"] == 5
    assert job.lines()[-1] == "--text a b; $(id)"


def test_base_directory_is_honoured_without_a_sandbox(job: Job) -> None:
    status = run_script(job, {"train.py": "import os\nprint(os.environ['SM_MODEL_DIR'], os.getcwd())"}, rung="none")
    assert status["exit_code"] == 0, job.lines()
    assert job.lines()[-1] == f"{job.folder}/ml/model {job.folder}/ml/code"


def test_missing_requirement_is_named(job: Job) -> None:
    status = run_script(job, {"train.py": "print('ran')", "requirements.txt": "# c\nno-such-package==1\n"})
    assert status["exit_code"] == 0
    assert "no-such-package" in status["stderr_tail"]


@pytest.mark.parametrize("program", ["", '"absent.py"'])
def test_missing_entry_point_is_told(job: Job, program: str) -> None:
    parameters = {"sagemaker_program": program} if program else {}
    status = run_script(job, {"train.py": ""}, hyperparameters=parameters)
    assert status["exit_code"] == 1
    assert "entry point" in status["stderr_tail"].lower()


@pytest.mark.parametrize("name", ["../escaped", "/escaped-by-kenja-test", "a/../../escaped"])
def test_archive_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    hostile = archive(tmp_path / "x.tar.gz", {name: "x"})
    with suppress(tarfile.TarError):  # a leading slash is taken off, ".." is refused
        unpack(hostile, tmp_path / "deep" / "code")
    outside = [path for path in tmp_path.rglob("*escaped*") if not path.is_relative_to(tmp_path / "deep" / "code")]
    assert outside == []
    assert not Path("/escaped-by-kenja-test").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_archive_cannot_link_out_or_make_devices(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("link")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(tarfile.TarError):
        unpack(archive(tmp_path / "x.tar.gz", {"a": "x"}, member), tmp_path / "code")


def test_corrupt_archive_is_a_told_failure(job: Job) -> None:
    write_config(job.folder / "ml", HYPERPARAMETERS, CHANNELS, HOST)
    (job.folder / "source").mkdir()
    (job.folder / "source" / "sourcedir.tar.gz").write_bytes(b"nonsense")
    staged = {"source": str(job.folder / "source"), "target": "/opt/ml/input/source"}
    status = job.run("", module="kenja_worker.shim.script", inputs=[staged])
    assert status["exit_code"] == 1
    assert "could not be unpacked" in status["stderr_tail"]
