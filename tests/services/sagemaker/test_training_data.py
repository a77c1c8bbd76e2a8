"""Training data over boto3: every format, manifests, pipes, compression, shuffling, shards, checkpoints, cross-validation."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import numpy as np
import pandas
import pytest
import sklearn.datasets
import xgboost
from botocore.exceptions import ClientError

from kenja_worker.algorithms.channels import record, recordio
from tests.services.sagemaker import training_jobs
from tests.services.sagemaker.conftest import World

PARAMETERS = {"num_round": "6", "objective": "binary:logistic", "max_depth": "3"}
ROWS = np.loadtxt(io.BytesIO(training_jobs.table()), delimiter=",").astype(np.float32)
FRESH = np.loadtxt(io.BytesIO(training_jobs.table(50, seed=9)), delimiter=",").astype(np.float32)[:, 1:]


def bare(rows: np.ndarray = ROWS, **parameters: Any) -> np.ndarray:
    """What the library itself predicts for fresh rows after training on these."""
    given = {"objective": "binary:logistic", "max_depth": 3, **parameters}
    booster = xgboost.train(given, xgboost.DMatrix(rows[:, 1:], label=rows[:, 0]), 6)
    return booster.predict(xgboost.DMatrix(FRESH))


def predicted(world: World, job: dict[str, Any], name: str = "xgboost-model") -> np.ndarray:
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    files = training_jobs.unpacked(world.s3, job["ModelArtifacts"]["S3ModelArtifacts"])
    booster = xgboost.Booster()
    booster.load_model(bytearray(files[name]))
    return booster.predict(xgboost.DMatrix(FRESH))


def libsvm(rows: np.ndarray) -> bytes:
    made = io.BytesIO()
    sklearn.datasets.dump_svmlight_file(rows[:, 1:], rows[:, 0], made, zero_based=True)
    return made.getvalue()


def parquet(rows: np.ndarray) -> bytes:
    made = io.BytesIO()
    pandas.DataFrame(rows, columns=[f"c{number}" for number in range(rows.shape[1])]).to_parquet(made)
    return made.getvalue()


def protobuf(rows: np.ndarray) -> bytes:
    return b"".join(map(recordio.frame, record.dense(rows[:, 1:], rows[:, 0])))


def csv(rows: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.savetxt(made, rows, delimiter=",", fmt="%.9g")
    return made.getvalue()


FORMATS = [
    ("text/libsvm", libsvm, "File"),
    ("application/x-parquet", parquet, "FastFile"),
    ("application/x-recordio-protobuf", protobuf, "File"),
    ("application/x-recordio-protobuf", protobuf, "Pipe"),
    ("application/x-parquet", parquet, "Pipe"),
    ("text/csv; label_size=1; charset=utf8", csv, "Pipe"),
]


@pytest.mark.parametrize(("kind", "write", "mode"), FORMATS, ids=[f"{kind}-{mode}" for kind, _, mode in FORMATS])
def test_every_format_trains_the_librarys_own_model(world: World, kind: str, write: Any, mode: str) -> None:
    world.put("several/a/part-0", write(ROWS[:120]))
    world.put("several/b/part-1", write(ROWS[120:]))
    channel = {**training_jobs.channel("train", f"s3://{world.bucket}/several/", kind), "InputMode": mode}
    job = world.run("format", HyperParameters=PARAMETERS, InputDataConfig=[channel])
    np.testing.assert_allclose(predicted(world, job), bare(), atol=1e-6)


def source(uri: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"S3DataSource": {"S3DataType": kind, "S3Uri": uri, **more}}


def manifest(world: World, *entries: Any) -> dict[str, Any]:
    uri = world.put("lists/train.manifest", json.dumps(entries).encode())
    return {**training_jobs.channel("train", uri), "DataSource": source(uri, "ManifestFile")}


def test_a_manifest_names_the_objects_of_a_channel(world: World) -> None:
    for number, part in enumerate((ROWS[:80], ROWS[80:], ROWS[:50])):
        world.put(f"parts/deep/{number}.csv", csv(part))
    channel = manifest(world, {"prefix": f"s3://{world.bucket}/parts/"}, "deep/0.csv", "deep/1.csv")
    job = world.run("manifest", HyperParameters=PARAMETERS, InputDataConfig=[channel])
    np.testing.assert_allclose(predicted(world, job), bare(), atol=1e-6)
    fewer = manifest(world, {"prefix": f"s3://{world.bucket}/parts/deep/"}, "2.csv")
    job = world.run("fewer", HyperParameters=PARAMETERS, InputDataConfig=[fewer])
    np.testing.assert_allclose(predicted(world, job), bare(ROWS[:50]), atol=1e-6)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (["a.csv"], 'begins with {"prefix"'),
        ([{"prefix": "https://x/y"}, "a"], "it must be the prefix"),
        ([{"prefix": "s3://b/x/"}], "names no objects"),
        ([{"prefix": "s3://b/x/"}, 7], "entry 1 is 7"),
        ([{"prefix": "s3://b/x/"}, "../../secret"], "can not be a file name"),
        ([{"prefix": "s3://no-such-bucket-here/"}, "a"], "s3://no-such-bucket-here/a: "),
    ],
)
def test_a_wrong_manifest_fails_the_job_with_the_reason(world: World, entries: list[Any], told: str) -> None:
    job = world.run("wrong", InputDataConfig=[manifest(world, *entries)])
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Data download failed: ")
    assert told in job["FailureReason"]


PIPES = """
import os
for channel in sorted(os.listdir("/opt/ml/input/data")):
    name = channel.rpartition("_")[0]
    for epoch in range(2):
        with open(f"/opt/ml/input/data/{name}_{epoch}", "rb") as pipe:
            print(name, epoch, pipe.read().hex(), flush=True)
"""


def test_pipes_of_a_script_unpack_wrap_and_shuffle(world: World) -> None:
    letters = b"abcdefgh"
    for letter in letters:
        world.put(f"letters/{letter:c}.gz", gzip.compress(b"%c" % letter))
    lines = [{"image-ref": world.put(f"images/{n}", b"image%d" % n), "label": n, "note": {"a": 1}} for n in range(2)]
    augmented = world.put("lists/augmented", b"\n".join(json.dumps(line).encode() for line in lines))
    plain = {
        **training_jobs.channel("letters", f"s3://{world.bucket}/letters/", None),
        "InputMode": "Pipe",
        "CompressionType": "Gzip",
    }
    records = {
        **training_jobs.channel("records", augmented, None), "InputMode": "Pipe", "RecordWrapperType": "RecordIO",
        "DataSource": source(augmented, "AugmentedManifestFile", AttributeNames=["image-ref", "label"]),
    }  # fmt: skip
    shuffled = {**plain, "ChannelName": "shuffled", "ShuffleConfig": {"Seed": 5}}
    job = world.run("pipes", **world.script("pipes", train__py=PIPES), InputDataConfig=[plain, records, shuffled])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    said = {
        tuple(line.split()[:2]): bytes.fromhex(line.split()[2])
        for line in world.log("pipes")
        if not line.startswith("[")
    }
    assert said["letters", "0"] == said["letters", "1"] == letters
    assert said["shuffled", "0"] != said["shuffled", "1"]
    assert sorted(said["shuffled", "0"]) == sorted(said["shuffled", "1"]) == list(letters)
    assert list(recordio.records(io.BytesIO(said["records", "0"]), "x")) == [b"image0", b"0", b"image1", b"1"]


def test_broken_gzip_and_augmented_lines_fail_the_job(world: World) -> None:
    world.put("zip/a.csv.gz", gzip.compress(training_jobs.table())[:-200])
    channel = {
        **training_jobs.channel("train", f"s3://{world.bucket}/zip/"),
        "InputMode": "Pipe",
        "CompressionType": "Gzip",
    }
    job = world.run("gzip", InputDataConfig=[channel])
    assert job["TrainingJobStatus"] == "Failed"
    assert "ClientError: channel 'train': CompressionType is Gzip" in job["FailureReason"]
    uri = world.put("lists/augmented", b'{"a": 1}\n{"b": 2}\n')
    channel = {
        **training_jobs.channel("train", uri),
        "InputMode": "Pipe",
        "DataSource": source(uri, "AugmentedManifestFile", AttributeNames=["a"]),
    }
    job = world.run("lines", InputDataConfig=[channel])
    assert "line 2 has no attribute 'a'; it has b" in job["FailureReason"]


def changed(
    mode: str = "File", kind: str = "S3Prefix", attributes: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    names = {"AttributeNames": attributes} if attributes else {}
    return {
        **training_jobs.channel("train", "s3://b/x"),
        "DataSource": source("s3://b/x", kind, **names),
        "InputMode": mode,
        **more,
    }


REFUSED: list[tuple[dict[str, Any], str]] = [
    (changed(CompressionType="Gzip"), "CompressionType is for input mode Pipe only"),
    (changed("FastFile", RecordWrapperType="RecordIO"), "RecordWrapperType is for input mode Pipe only"),
    (changed("FastFile", "ManifestFile"), "FastFile reads S3Prefix only"),
    (changed("File", "AugmentedManifestFile", ["a"]), "can only be used with input mode Pipe"),
    (changed("Pipe", "AugmentedManifestFile"), "needs AttributeNames"),
    (changed("Pipe", "S3Prefix", ["a"]), "AttributeNames belong to"),
    (changed("File", "Converse"), "Converse"),
    (
        {**changed(), "DataSource": {"FileSystemDataSource": {"FileSystemId": "fs-0123456789a", "FileSystemAccessMode": "ro",
                                                              "FileSystemType": "EFS", "DirectoryPath": "/x"}}},
        "FileSystemDataSource",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("channel", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_create_training_job_refuses_channels_that_can_not_be(world: World, channel: dict[str, Any], told: str) -> None:
    with pytest.raises(ClientError, match=told) as caught:
        world.start("refused", InputDataConfig=[channel])
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_one_instance_gets_all_shards(world: World) -> None:
    world.put("shards/1.csv", csv(ROWS[:90]))
    world.put("shards/2.csv", csv(ROWS[90:]))
    uri = f"s3://{world.bucket}/shards/"
    channel = {
        **training_jobs.channel("train", uri),
        "DataSource": source(uri, "S3Prefix", S3DataDistributionType="ShardedByS3Key"),
    }
    job = world.run("shards", HyperParameters=PARAMETERS, InputDataConfig=[channel])
    np.testing.assert_allclose(predicted(world, job), bare(), atol=1e-6)


def test_checkpoints_are_stored_and_the_next_job_goes_on_from_them(world: World) -> None:
    config = {"S3Uri": f"s3://{world.bucket}/points"}
    first = world.run("first", HyperParameters=PARAMETERS, CheckpointConfig=config)
    assert first["TrainingJobStatus"] == "Completed", first.get("FailureReason")

    def stored() -> list[str]:
        return sorted(
            item["Key"] for item in world.s3.list_objects_v2(Bucket=world.bucket, Prefix="points/")["Contents"]
        )

    assert stored() == [f"points/xgboost-checkpoint.{number}" for number in (1, 2, 3, 4, 5)]
    world.s3.delete_object(Bucket=world.bucket, Key="points/xgboost-checkpoint.5")
    world.run("second", HyperParameters={**PARAMETERS, "num_round": "8"}, CheckpointConfig=config)
    said = world.log("second")
    assert "Checkpoint loaded; resuming from iteration 5" in said
    assert [line.partition("]")[0] for line in said if line.startswith("[") and line[1].isdigit()] == ["[5", "[6", "[7"]
    assert stored() == [f"points/xgboost-checkpoint.{number}" for number in (3, 4, 5, 6, 7)]
    with pytest.raises(ClientError, match="LocalPath"):
        world.start("elsewhere", CheckpointConfig={**config, "LocalPath": "/home/me"})
    absent = world.run("absent", CheckpointConfig={"S3Uri": "s3://no-such-bucket-here/x"})
    assert "NoSuchBucket" in absent["FailureReason"]


def test_cross_validation_leaves_a_model_a_fold_and_predictions(world: World) -> None:
    job = world.run("folds", HyperParameters={**PARAMETERS, "_kfold": "3"})
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    files = training_jobs.unpacked(world.s3, job["ModelArtifacts"]["S3ModelArtifacts"])
    assert sorted(files) == [f"xgboost-model-{number}" for number in range(3)]
    answers = training_jobs.unpacked(world.s3, f"s3://{world.bucket}/output/folds/output/output.tar.gz")[
        "predictions.csv"
    ]
    table = np.loadtxt(io.BytesIO(answers), delimiter=",")
    assert np.array_equal(table[:, 0], ROWS[:, 0])
    assert {metric["MetricName"] for metric in job["FinalMetricDataList"]} == {"train:logloss", "validation:logloss"}
