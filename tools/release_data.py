"""`make release-data`: a data folder as the present code makes it, packed for tests/upgrade with the answers that it gave.

Run once at every release, by the code of that release and no other: the archive is what its users' folders look like, and
every later version must open it. It holds each database at the release's schema with rows in every table that the API can
fill, blobs, log segments, an endpoint that serves and a job that still waits; `answers.json` holds what the release answered.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from kenja import __version__

REPOSITORY = Path(__file__).resolve().parent.parent
FOLDER = REPOSITORY / "tests" / "upgrade"
ANSWERS = "answers.json"
REGION, OTHER = "us-east-1", "eu-west-1"  # recorded; with jobs that change when the folder is opened
BUCKET = "kept-by-release"
WAITING = "waits"  # the job that is queued when the server stops
_IMAGES = "683313688378.dkr.ecr.us-east-1.amazonaws.com"
XGBOOST, SKLEARN = f"{_IMAGES}/sagemaker-xgboost:1.7-1", f"{_IMAGES}/sagemaker-scikit-learn:1.2-1-cpu-py3"
ROLE = "arn:aws:iam::000000000000:role/KenjaExecutionRole"
PART = 5 * 1024 * 1024  # bytes; the smallest part that is not the last
SMALL = 100  # bytes of a body that is remembered as it is
PATIENCE = 120.0  # seconds for a job or an endpoint
_DROPPED = ("run", "jobs", "overlays")  # worth nothing after a stop
_SLEEP = "import time\ntime.sleep(300)\n"

Client = Callable[..., Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder of the archive")
    options = parser.parse_args()
    target = options.into / f"{__version__}.tar.xz"
    if target.exists():
        print(f"{target} is there already: a release's data never changes.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="kenja-release-") as folder:
        data = Path(folder) / "data"
        answers = _made(data)
        (data / ANSWERS).write_text(json.dumps(answers, indent=1))
        with tarfile.open(target, "w:xz", preset=9) as archive:
            archive.add(data, "data", filter=_kept)
    print(f"{target}: {target.stat().st_size} bytes, {len(answers)} answers")
    return 0


def _kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = Path(member.name).parts
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return None if len(parts) > 1 and parts[1] in _DROPPED else member


def _made(data: Path) -> list[dict[str, Any]]:
    """Fill a data folder through the API; the answers to remember."""
    server = subprocess.Popen(
        [sys.executable, "-m", "kenja", "serve", "--port", "0", "--data", str(data)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        endpoint = server.stdout.readline().split()[-1]
        client = clients(endpoint, data)
        _fill(client)
        answers = [answer(client, *call) for call in _calls(client)]
        _queue(client)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(200)
    return answers


def clients(endpoint: str, data: Path) -> Client:
    """`client("s3", region)` of a server, with the root keys of its data folder."""
    text = (data / "credentials").read_text().replace(" ", "")
    keys = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def client(service: str, region: str = REGION) -> Any:
        return boto3.client(
            service, endpoint_url=endpoint, region_name=region, config=Config(retries={"max_attempts": 0}),
            aws_access_key_id=keys["aws_access_key_id"], aws_secret_access_key=keys["aws_secret_access_key"],
        )  # fmt: skip

    return client


def answer(client: Client, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """One call with its answer, as JSON can hold it."""
    given = getattr(client(service), operation)(**request)
    given.pop("ResponseMetadata")
    return {"service": service, "operation": operation, "request": request, "answer": plain(given)}


def plain(value: Any) -> Any:
    """An answer of boto3 as JSON can hold it: times as ISO 8601, small bodies as Latin-1, large ones as their SHA-256."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if hasattr(value, "read"):
        body = value.read()
        return body.decode("latin-1") if len(body) <= SMALL else hashlib.sha256(body).hexdigest()
    return value


def _fill(client: Client) -> None:
    s3, sagemaker = client("s3"), client("sagemaker")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="plain.txt", Body=b"kept")
    s3.put_object(
        Bucket=BUCKET, Key="with/äöü and spaces", Body=b"\0\xff" * 100, ContentType="text/csv", Metadata={"who": "me"}
    )
    s3.put_object(Bucket=BUCKET, Key="summed", Body=b"sum", ChecksumAlgorithm="SHA256")
    place = {"Bucket": BUCKET, "Key": "parts"}
    upload = s3.create_multipart_upload(**place)["UploadId"]
    bodies = {1: b"\0" * PART, 2: b"end"}
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part(**place, UploadId=upload, PartNumber=n, Body=body)["ETag"]}
        for n, body in bodies.items()
    ]
    s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    place["Key"] = "unfinished"
    unfinished = s3.create_multipart_upload(**place)["UploadId"]
    s3.upload_part(**place, UploadId=unfinished, PartNumber=1, Body=b"half")
    s3.put_object(Bucket=BUCKET, Key="train/train.csv", Body=_table())
    sagemaker.create_training_job(**_job("completes"), Tags=[{"Key": "team", "Value": "blue"}])
    sagemaker.create_training_job(**_job("fails", HyperParameters={"num_round": "5", "objective": "no:such"}))
    done = _until(lambda: _ended(sagemaker, "completes"))
    assert done["TrainingJobStatus"] == "Completed", done
    assert _until(lambda: _ended(sagemaker, "fails"))["TrainingJobStatus"] == "Failed"
    container = {"Image": XGBOOST, "ModelDataUrl": done["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker.create_model(ModelName="model", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": "model", "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(
        EndpointConfigName="config", ProductionVariants=[{**variant, "InitialInstanceCount": 1}]
    )
    sagemaker.create_endpoint(EndpointName="serves", EndpointConfigName="config")
    _until(lambda: sagemaker.describe_endpoint(EndpointName="serves")["EndpointStatus"] == "InService")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allow = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam = client("iam")
    iam.create_role(RoleName="Reader", AssumeRolePolicyDocument=_policy(trust), Description="of a release")
    iam.put_role_policy(RoleName="Reader", PolicyName="Inline", PolicyDocument=_policy(allow))
    dimensions = [{"Name": "Host", "Value": "a"}]
    data = [{"MetricName": "Load", "Dimensions": dimensions, "Value": 1.5, "Timestamp": datetime.now(UTC)}]
    client("cloudwatch").put_metric_data(Namespace="Kept", MetricData=data)
    time.sleep(3)  # metrics of the endpoint's requests are flushed every second


def _calls(client: Client) -> list[tuple[str, str, dict[str, Any]]]:
    """What is asked and remembered; nothing whose answer depends on the time of asking, as that of metrics does."""
    here = {"Bucket": BUCKET}
    keys = [entry["Key"] for entry in client("s3").list_objects_v2(**here)["Contents"]]
    reads = [("s3", "get_object", {**here, "Key": key}) for key in keys]
    (upload,) = client("s3").list_multipart_uploads(**here)["Uploads"]
    parts = {**here, "Key": upload["Key"], "UploadId": upload["UploadId"]}
    group = "/aws/sagemaker/TrainingJobs"
    job = client("sagemaker").describe_training_job(TrainingJobName="completes")
    return [
        *reads,
        ("s3", "list_buckets", {}),
        ("s3", "list_objects_v2", {**here, "Prefix": "with"}),  # the job that waits adds others later
        ("s3", "list_multipart_uploads", here),
        ("s3", "list_parts", parts),
        ("sagemaker", "describe_training_job", {"TrainingJobName": "completes"}),
        ("sagemaker", "describe_training_job", {"TrainingJobName": "fails"}),
        ("sagemaker", "list_training_jobs", {}),
        ("sagemaker", "list_tags", {"ResourceArn": job["TrainingJobArn"]}),
        ("sagemaker", "describe_model", {"ModelName": "model"}),
        ("sagemaker", "describe_endpoint_config", {"EndpointConfigName": "config"}),
        ("iam", "get_role", {"RoleName": "Reader"}),
        ("iam", "get_role_policy", {"RoleName": "Reader", "PolicyName": "Inline"}),
        ("logs", "filter_log_events", {"logGroupName": group, "logStreamNamePrefix": "completes/"}),
        ("logs", "describe_log_groups", {"logGroupNamePrefix": group}),
        ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "serves", "ContentType": "text/csv", "Body": "1,2"}),
    ]


def _queue(client: Client) -> None:
    """Jobs in the other region: so many that sleep that one more has to wait when the server is stopped."""
    sagemaker = client("sagemaker", OTHER)
    code = io.BytesIO()
    with tarfile.open(fileobj=code, mode="w:gz") as archive:
        info = tarfile.TarInfo("train.py")
        info.size = len(_SLEEP)
        archive.addfile(info, io.BytesIO(_SLEEP.encode()))
    client("s3").put_object(Bucket=BUCKET, Key="later/source.tar.gz", Body=code.getvalue())
    parameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"s3://{BUCKET}/later/source.tar.gz"}
    image = {"TrainingImage": SKLEARN, "TrainingInputMode": "File"}
    for number in range(max(os.cpu_count() or 1, 1)):
        script = _job(f"sleeps-{number}", AlgorithmSpecification=image, HyperParameters=parameters)
        sagemaker.create_training_job(**script)
    sagemaker.create_training_job(**_job(WAITING))
    time.sleep(3)


def _job(name: str, **changes: Any) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/train/"}}
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        "HyperParameters": {"num_round": "5", "objective": "binary:logistic"},
        "InputDataConfig": [{"ChannelName": "train", "ContentType": "text/csv", "DataSource": source}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/output"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        **changes,
    }


def _table() -> bytes:
    choices = random.Random(1)
    rows = [(choices.gauss(0, 1), choices.gauss(0, 1)) for _ in range(100)]
    return "".join(f"{int(a > 0)},{a:.4f},{b:.4f}\n" for a, b in rows).encode()


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _ended(sagemaker: Any, name: str) -> dict[str, Any] | None:
    job: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
    return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None


def _until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > end:
            raise SystemExit("the server did not get there in time")
        time.sleep(0.1)
    return found


if __name__ == "__main__":
    sys.exit(main())
