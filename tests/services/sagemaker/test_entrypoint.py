"""ContainerEntrypoint over boto3: a job's own command runs as it would in the image, with a Python and channels that it may change."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
import sklearn
from botocore.exceptions import ClientError

from tests.conftest import RunningServer, wait_until
from tests.services.sagemaker import training_jobs
from tests.services.sagemaker.conftest import World

MEBIBYTE = 1024 * 1024


def command(entry: list[str], *arguments: str, image: str = training_jobs.SKLEARN, **more: Any) -> dict[str, Any]:
    """The members of a request that runs a command."""
    given = {"ContainerArguments": list(arguments)} if arguments else {}
    specification = {"TrainingImage": image, "TrainingInputMode": "File", "ContainerEntrypoint": entry, **given}
    return {"AlgorithmSpecification": {**specification, **more}, "HyperParameters": {"free": "to choose"}}


def ran(world: World, name: str, script: str, **changes: Any) -> dict[str, bytes]:
    """Run a shell script as a job's command; the files that it left in /opt/ml/model."""
    job = world.run(name, **command(["/bin/bash"], "-euc", script), **changes)
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), world.log(name))
    assert job["AlgorithmSpecification"]["ContainerEntrypoint"] == ["/bin/bash"]
    return training_jobs.unpacked(world.s3, job["ModelArtifacts"]["S3ModelArtifacts"])


def test_the_command_gets_the_containers_files_and_variables(world: World) -> None:
    script = 'cd /opt/ml; cp input/config/*.json model/; wc -l <input/data/train/train.csv >model/lines; pwd >model/pwd; echo "$TRAINING_JOB_NAME $COLOUR" >model/names'
    files = ran(world, "files", script, Environment={"COLOUR": "blue"})
    assert json.loads(files["hyperparameters.json"]) == {"free": "to choose"}
    assert json.loads(files["resourceconfig.json"])["hosts"] == ["algo-1"]
    assert (files["lines"], files["pwd"], files["names"]) == (b"200\n", b"/opt/ml\n", b"files blue\n")


def test_python_is_the_images_and_knows_its_libraries(world: World) -> None:
    program = "import sklearn, sys; print(sklearn.__version__, sys.argv[1:])"
    job = world.run("python", **command(["python3", "-c", program], "a b", "c"))
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert f"{sklearn.__version__} ['a b', 'c']" in world.log("python")


def test_a_channel_can_be_changed_and_the_stored_object_stays(world: World) -> None:
    uri = world.put("tools/run.sh", b"#!/bin/sh\necho made by run.sh >/opt/ml/model/made\n")
    channels = [training_jobs.channel("tools", uri.removesuffix("run.sh"), None)]
    script = "cd /opt/ml/input/data/tools; chmod +x run.sh; ./run.sh; echo changed >run.sh; touch /opt/ml/input/mine"
    assert ran(world, "changes", script, InputDataConfig=channels) == {"made": b"made by run.sh\n"}
    stored = world.s3.get_object(Bucket=world.bucket, Key="tools/run.sh")["Body"].read()
    assert stored.startswith(b"#!/bin/sh")


def test_a_large_channel_is_read_only_and_the_log_says_so(world: World) -> None:
    world.put("large/data", b"\0" * (65 * MEBIBYTE))
    channels = [training_jobs.channel("large", f"s3://{world.bucket}/large/", None)]
    script = "cd /opt/ml; stat -c %s input/data/large/data >model/size; ! touch input/data/large/new"
    files = ran(world, "large", script, InputDataConfig=channels)
    assert files["size"] == b"%d\n" % (65 * MEBIBYTE)
    assert any("'large' has more than 64 MiB" in line for line in world.log("large"))


def test_pip_installs_for_this_job_and_for_no_other(world: World) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        wheel.writestr("tiny.py", "WORD = 'installed'\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    uri = world.put("wheels/tiny-1.0-py3-none-any.whl", buffer.getvalue())
    channels = [training_jobs.channel("wheels", uri, None)]
    script = "pip3 install --no-index /opt/ml/input/data/wheels/*.whl; python -c 'import tiny, xgboost; print(tiny.WORD)' >/opt/ml/model/word"
    assert ran(world, "pip", script, InputDataConfig=channels)["word"] == b"installed\n"
    files = ran(world, "other", "python -c 'import tiny' 2>/opt/ml/model/error || true")
    assert b"No module named 'tiny'" in files["error"]


def test_the_sandbox_holds_the_command_too(world: World, server: RunningServer) -> None:
    script = f"cd /opt/ml/model; id -u >user; ls {server.data} /etc/shadow >seen 2>/dev/null || true"
    files = ran(
        world, "held", f"{script}; tail -n +3 /proc/net/dev | cut -d: -f1 >networks", EnableNetworkIsolation=True
    )
    assert files["user"] != b"0\n"
    assert files["seen"] == b""
    assert files["networks"].split() == [b"lo"]


def test_metrics_are_read_from_what_the_command_prints(world: World) -> None:
    definitions = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    members = command(["echo", "loss=0.25"], image=training_jobs.XGBOOST, MetricDefinitions=definitions)
    job = world.run("metrics", **members)
    assert [(metric["MetricName"], metric["Value"]) for metric in job["FinalMetricDataList"]] == [("loss", 0.25)]


@pytest.mark.parametrize(
    ("entry", "arguments", "told"),
    [
        (["/no/such/command"], [], "The entry point '/no/such/command' can not be run: No such file or directory"),
        (["/bin/sh"], ["-c", "echo the last words >&2; exit 3"], "the last words"),
        (["/bin/sh"], ["-c", "echo told in the file >/opt/ml/output/failure; exit 1"], "told in the file"),
    ],
)
def test_a_command_that_fails_is_told(world: World, entry: list[str], arguments: list[str], told: str) -> None:
    job = world.run("fails", **command(entry, *arguments))
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError")
    assert told in job["FailureReason"]


@pytest.mark.parametrize(
    ("entry", "arguments", "told"),
    [
        ([], ["train"], "ContainerArguments without a ContainerEntrypoint"),
        (["a"] * 101, [], "containerEntrypoint"),
        (["x" * 257], [], "containerEntrypoint"),
    ],
)
def test_create_training_job_refuses_commands_that_are_none(
    world: World, entry: list[str], arguments: list[str], told: str
) -> None:
    specification = {"TrainingImage": training_jobs.SKLEARN, "TrainingInputMode": "File"}
    if entry:
        specification |= {"ContainerEntrypoint": entry}
    if arguments:
        specification |= {"ContainerArguments": arguments}
    sagemaker = world.client("sagemaker", parameter_validation=False)
    with pytest.raises(ClientError) as error:
        sagemaker.create_training_job(
            **training_jobs.request("none", world.account, world.bucket, AlgorithmSpecification=specification)
        )
    assert error.value.response["Error"]["Code"] == "ValidationException"
    assert told.lower() in error.value.response["Error"]["Message"].lower()


def test_stopping_reaches_the_command(world: World) -> None:
    script = "trap 'echo stopped >/opt/ml/model/state; exit 0' TERM; echo waiting; while true; do sleep 0.1; done"
    name = world.start("stopped", **command(["/bin/bash"], "-c", script))
    wait_until(lambda: world.logs.describe_log_groups()["logGroups"] and "waiting" in world.log(name), 60)
    world.sagemaker.stop_training_job(TrainingJobName=name)
    job = training_jobs.wait(world.sagemaker, name)
    assert job["TrainingJobStatus"] == "Stopped"
    files = training_jobs.unpacked(world.s3, job["ModelArtifacts"]["S3ModelArtifacts"])
    assert files == {"state": b"stopped\n"}
