"""Script mode over boto3: the script gets the documented environment, its failures are told, and it can not get out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, wait_until
from tests.services.sagemaker import training_jobs
from tests.services.sagemaker.conftest import World

TRAIN = """
import argparse, json, os, joblib, pandas as pd
from sklearn.linear_model import LogisticRegression
parser = argparse.ArgumentParser()
parser.add_argument("--strength", type=float)
options = parser.parse_args()
data = pd.read_csv(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "train.csv"), header=None)
model = LogisticRegression(C=options.strength).fit(data.iloc[:, 1:], data[0])
print(f"accuracy={model.score(data.iloc[:, 1:], data[0]):.4f};")
joblib.dump(model, os.path.join(os.environ["SM_MODEL_DIR"], "model.joblib"))
with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "facts.json"), "w") as file:
    json.dump({"c": options.strength, "coefficients": model.coef_.tolist(), "environment": dict(os.environ)}, file)
"""


def run(world: World, name: str, source: str, hyper: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """Run `source` as train.py of a job."""
    members = world.script(name, train__py=source)
    members["HyperParameters"] |= hyper or {}
    return world.run(name, **{**members, **changes})


def facts(world: World, name: str) -> dict[str, Any]:
    found = training_jobs.unpacked(world.s3, f"s3://{world.bucket}/output/{name}/output/output.tar.gz")["facts.json"]
    decoded: dict[str, Any] = json.loads(found)
    return decoded


def test_a_scikit_learn_script_trains_and_its_hyper_parameter_matters(world: World) -> None:
    definitions = [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+);"}]
    told = []
    for number, c in enumerate(("0.001", "10.0")):
        members = world.script(f"sk-{number}", train__py=TRAIN)
        members["AlgorithmSpecification"]["MetricDefinitions"] = definitions
        members["HyperParameters"]["strength"] = c
        job = world.run(f"sk-{number}", **members)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert "model.joblib" in training_jobs.unpacked(world.s3, job["ModelArtifacts"]["S3ModelArtifacts"])
        (metric,) = job["FinalMetricDataList"]
        assert metric["MetricName"] == "accuracy"
        assert f"accuracy={metric['Value']:.4f};" in world.log(f"sk-{number}")
        told.append(facts(world, f"sk-{number}"))
    assert told[0]["c"] == 0.001
    assert told[0]["coefficients"] != told[1]["coefficients"]
    environment = told[0]["environment"]
    assert environment["SM_HP_STRENGTH"] == "0.001"
    assert environment["TRAINING_JOB_NAME"] == "sk-0"
    assert environment["SM_MODEL_DIR"] == "/opt/ml/model"
    assert json.loads(environment["SM_CHANNELS"]) == ["train"]


def test_a_script_acts_as_its_role_against_this_server(world: World) -> None:
    source = """
import json, os, urllib.request
request = urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"]})
keys = json.load(urllib.request.urlopen(request))
print(sorted(keys), os.environ["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:"), flush=True)
try:
    urllib.request.urlopen(urllib.request.Request(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"], headers={"Authorization": "other"}))
except urllib.error.HTTPError as error:
    print("refused", error.code)
"""
    job = run(world, "role", source)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    said = "\n".join(world.log("role"))
    assert "'AccessKeyId'" in said
    assert "'Expiration'" in said
    assert "refused 403" in said


@pytest.mark.slow
def test_requirements_txt_is_installed_for_the_job_alone(world: World) -> None:
    source = "import humanize, sklearn; print('has', humanize.__version__, sklearn.__version__)"
    uri = world.put(
        "code/r/sourcedir.tar.gz", training_jobs.source(train__py=source, requirements__txt="humanize==4.9.0\n")
    )
    parameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": uri}
    specification = {"TrainingImage": training_jobs.SKLEARN, "TrainingInputMode": "File"}
    job = world.run("needs", AlgorithmSpecification=specification, HyperParameters=parameters)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert any(line.startswith("has 4.9.0") for line in world.log("needs"))
    without = run(world, "without", source)
    assert "No module named 'humanize'" in without["FailureReason"]


@pytest.mark.parametrize(
    "line", ["--index-url http://127.0.0.1:1/simple", "pkg @ file:///etc/passwd", "./local", "-e ."]
)
def test_requirements_that_reach_outside_are_refused(world: World, line: str) -> None:
    uri = world.put("code/x/sourcedir.tar.gz", training_jobs.source(train__py="print(1)", requirements__txt=line))
    parameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": uri}
    specification = {"TrainingImage": training_jobs.SKLEARN, "TrainingInputMode": "File"}
    job = world.run("outside", AlgorithmSpecification=specification, HyperParameters=parameters)
    assert job["TrainingJobStatus"] == "Failed"
    assert "requirements" in job["FailureReason"]


def test_a_script_that_raises_fails_with_its_last_lines(world: World) -> None:
    job = run(world, "raises", "def f():\n    raise ValueError('the label column is missing')\nf()\n")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"].startswith("AlgorithmError")
    assert "ValueError: the label column is missing" in job["FailureReason"]
    assert "line 2, in f" in job["FailureReason"]
    assert "ModelArtifacts" not in job or not job["ModelArtifacts"]["S3ModelArtifacts"]


def test_the_failure_file_wins_and_the_exit_code_is_kept(world: World) -> None:
    job = run(
        world, "failure", "open('/opt/ml/output/failure', 'w').write('bad rows: ' + 'x' * 2000)\nraise SystemExit(3)"
    )
    assert job["FailureReason"].startswith("AlgorithmError: bad rows: xxx")
    assert len(job["FailureReason"]) <= 1024
    code = run(world, "code", "import sys; print('going', file=sys.stderr); sys.exit(42)")
    assert "ExitCode 42" in code["FailureReason"]
    assert "going" in code["FailureReason"]


def test_max_runtime_stops_a_hanging_script_and_keeps_what_it_wrote(world: World) -> None:
    source = "import time; open('/opt/ml/model/half', 'w').write('x'); print('written', flush=True); time.sleep(600)"
    began = time.monotonic()
    job = run(world, "hangs", source, StoppingCondition={"MaxRuntimeInSeconds": 2})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert time.monotonic() - began < 30
    assert set(training_jobs.unpacked(world.s3, job["ModelArtifacts"]["S3ModelArtifacts"])) == {"half"}


def test_stop_gives_a_script_its_grace(world: World) -> None:
    source = """
import signal, sys, time
def end(*_):
    open('/opt/ml/model/saved', 'w').write('on SIGTERM')
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print('ready', flush=True)
time.sleep(600)
"""
    world.start("graceful", **world.script("graceful", train__py=source))
    wait_until(lambda: "ready" in (world.log("graceful") if _has_log(world, "graceful") else []))
    world.sagemaker.stop_training_job(TrainingJobName="graceful")
    assert world.sagemaker.describe_training_job(TrainingJobName="graceful")["TrainingJobStatus"] in (
        "Stopping",
        "Stopped",
    )
    job = training_jobs.wait(world.sagemaker, "graceful")
    assert job["TrainingJobStatus"] == "Stopped"
    assert training_jobs.unpacked(world.s3, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"saved": b"on SIGTERM"}


def test_a_fork_bomb_harms_only_itself(world: World) -> None:
    bomb = "import os\ntry:\n    while True:\n        if os.fork() == 0:\n            import time; time.sleep(60); os._exit(0)\nexcept OSError as error:\n    raise SystemExit(f'bounded: {error}')\n"
    job = run(world, "bomb", bomb, StoppingCondition={"MaxRuntimeInSeconds": 30})
    assert job["TrainingJobStatus"] in ("Failed", "Stopped")
    assert world.sagemaker.list_training_jobs()["TrainingJobSummaries"]


ATTACK = """
import glob, json, os
found = {}
def attempt(name, action):
    try:
        found[name] = repr(action())[:200]
    except BaseException as error:
        found[name] = None
target = glob.glob('/opt/ml/input/data/train/*')[0]
attempt('write', lambda: open(target, 'r+b').write(b'0'))
attempt('chmod', lambda: os.chmod(target, 0o666))
attempt('unlink', lambda: os.unlink(target))
attempt('rename', lambda: os.rename(target, target + 'x'))
attempt('link', lambda: os.link(target, '/opt/ml/model/l'))
attempt('data folder', lambda: os.listdir(DATA))
attempt('root', lambda: [name for name in os.listdir('/root') if name != '.pyenv'] or 1 / 0)
attempt('work', lambda: os.listdir(DATA + '/objects'))
attempt('credentials', lambda: open(DATA + '/credentials').read())
attempt('init root', lambda: os.listdir('/proc/1/root' + DATA))
attempt('shadow', lambda: open('/etc/shadow').read())
os.symlink(DATA + '/credentials', '/opt/ml/model/stolen')
os.symlink('/etc/shadow', '/opt/ml/output/data/stolen')
json.dump(found, open('/opt/ml/output/data/facts.json', 'w'))
"""


def test_a_script_can_neither_change_objects_nor_read_the_data_folder(world: World, server: RunningServer) -> None:
    before = world.s3.get_object(Bucket=world.bucket, Key="train/train.csv")["Body"].read()
    job = run(world, "attack", ATTACK.replace("DATA", repr(str(server.data))))
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert any("Sandbox:" in line for line in world.log("attack"))
    assert {name: result for name, result in facts(world, "attack").items() if result is not None} == {}
    assert world.s3.get_object(Bucket=world.bucket, Key="train/train.csv")["Body"].read() == before
    output = training_jobs.unpacked(world.s3, f"s3://{world.bucket}/output/attack/output/output.tar.gz")
    assert set(output) == {"facts.json"}, "links are not followed"


def test_network_isolation_takes_network_and_credentials_away(world: World) -> None:
    source = """
import os, socket
print('keys', [name for name in os.environ if name.startswith('AWS_') and 'REGION' not in name])
try:
    socket.create_connection(('127.0.0.1', PORT), 2)
    print('reached')
except OSError as error:
    print('cut off:', error)
"""
    port = world.sagemaker.meta.endpoint_url.rpartition(":")[2]
    job = run(world, "alone", source.replace("PORT", port), EnableNetworkIsolation=True)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    said = world.log("alone")
    assert "keys []" in said
    assert any(line.startswith("cut off:") for line in said)


def test_a_bad_source_archive_fails_the_job(world: World) -> None:
    specification = {"TrainingImage": training_jobs.SKLEARN, "TrainingInputMode": "File"}
    uri = world.put("code/bad.tar.gz", b"this is no archive")
    cases = {
        "not-a-tar": (uri, "train.py", "archive"),
        "not-there": (f"s3://{world.bucket}/code/none.tar.gz", "train.py", "NoSuchKey"),
        "no-uri": ("nowhere", "train.py", "sagemaker_submit_directory"),
    }
    for name, (where, program, told) in cases.items():
        parameters = {"sagemaker_program": program, "sagemaker_submit_directory": where}
        job = world.run(name, AlgorithmSpecification=specification, HyperParameters=parameters)
        assert job["TrainingJobStatus"] == "Failed"
        assert told in job["FailureReason"] or "404" in job["FailureReason"], job["FailureReason"]
    missing = world.script("absent", other__py="print(1)")
    job = world.run("absent", **missing)
    assert "train.py" in job["FailureReason"]


def test_an_archive_can_not_write_outside_the_code_folder(world: World, tmp_path: Path) -> None:
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("../../../../tmp/escaped")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    uri = world.put("code/slip.tar.gz", buffer.getvalue())
    parameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": uri}
    specification = {"TrainingImage": training_jobs.SKLEARN, "TrainingInputMode": "File"}
    job = world.run("slip", AlgorithmSpecification=specification, HyperParameters=parameters)
    assert job["TrainingJobStatus"] == "Failed"
    assert not Path("/tmp/escaped").exists()


def _has_log(world: World, name: str) -> bool:
    groups = world.logs.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/TrainingJobs")["logGroups"]
    return bool(groups) and bool(
        world.logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/")[
            "logStreams"
        ]
    )
