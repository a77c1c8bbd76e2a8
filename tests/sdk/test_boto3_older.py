"""Three older boto3s, each in an environment of its own, walk one script through storage, identity, metrics, training and inference."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sdk_env

from tests.conftest import RunningServer
from tests.sdk import truth
from tests.sdk.shell import SCRIPTS, Shell, open_shell
from tests.services.sagemaker.training_jobs import XGBOOST

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(300)]
VERSIONS = (
    "1.34",
    "1.38",
    "1.41",
)  # before and after checksums by default (1.36); all with CloudWatch's query protocol
MEBIBYTE = 1024 * 1024
BUCKET = "older-boto3-{}"


@dataclass(frozen=True)
class Walk:
    """One version's run of the script, and what it noted."""

    version: str
    facts: dict[str, Any]
    shell: Shell
    train: np.ndarray
    ask: np.ndarray

    @property
    def bucket(self) -> str:
        return BUCKET.format(self.version.replace(".", "-"))


@pytest.fixture(scope="module", params=VERSIONS)
def walk(
    request: pytest.FixtureRequest,
    server: RunningServer,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[Walk]:
    version = request.param
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        python = sdk_env.environment(f"boto3-{version}")
    shell = open_shell(server, tmp_path_factory.mktemp("boto3"))
    tables = {"train": truth.table(400, 1), "ask": truth.table(40, 3)[:, 1:]}
    truth.write(shell.work, **tables)
    arguments = {
        "role": shell.role,
        "bucket": BUCKET.format(version.replace(".", "-")),
        "image": XGBOOST,
        "data": ".",
        "facts": "facts.json",
    }
    words = [word for name, value in arguments.items() for word in (f"--{name}", value)]
    done = shell.run(str(python), str(SCRIPTS / "older_boto3.py"), *words)
    assert done.status == 0, f"{done.errors[-5000:]}\n{done.text[-3000:]}"
    yield Walk(version, json.loads((shell.work / "facts.json").read_text()), shell, **tables)
    assert shell.left_the_machine() == []


def test_the_environment_has_that_version(walk: Walk) -> None:
    assert walk.facts["version"].startswith(f"{walk.version}.")


def test_objects_come_back_as_they_were_put(walk: Walk) -> None:
    facts = walk.facts
    assert (facts["body"], facts["metadata"], facts["part"]) == ("hello", {"colour": "blue"}, "ell")
    assert facts["etag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert facts["missing"] == "NoSuchKey"
    again = walk.shell.client("s3").get_object(Bucket=walk.bucket, Key="a b/é+1.txt")["Body"].read()
    assert again == b"hello"


def test_checksums_are_kept_where_the_version_sends_them(walk: Walk) -> None:
    expected = base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode()
    assert walk.facts["checksum"] == (None if walk.version == "1.34" else expected)


def test_a_multipart_object_comes_back_in_parts(walk: Walk) -> None:
    big = random.Random(7).randbytes(11 * MEBIBYTE + 5)
    assert walk.facts["big"] == [hashlib.sha256(big).hexdigest()] * 2
    digests = [hashlib.md5(big[start : start + 5 * MEBIBYTE]).digest() for start in range(0, len(big), 5 * MEBIBYTE)]
    assert walk.facts["big_etag"] == f'"{hashlib.md5(b"".join(digests)).hexdigest()}-3"'


def test_presigned_addresses_put_and_get(walk: Walk) -> None:
    assert (walk.facts["presigned_put"], walk.facts["presigned_get"]) == (200, "by address")


def test_listings_page_and_deletions_are_told(walk: Walk) -> None:
    assert walk.facts["keys"] == [["many/0", "many/1"], ["many/2", "many/3"], ["many/4"]]
    assert walk.facts["folders"] == ["a b/", "many/"]
    assert walk.facts["deleted"] == ["copy", "given"]
    keys = [entry["Key"] for entry in walk.shell.client("s3").list_objects_v2(Bucket=walk.bucket)["Contents"]]
    assert {"copy", "given"}.isdisjoint(keys)


def test_roles_and_sessions_are_those_of_the_account(walk: Walk) -> None:
    facts, account = walk.facts, walk.shell.keys.account
    assert facts["caller"].startswith(f"arn:aws:sts::{account}:assumed-role/KenjaExecutionRole/")
    assert facts["assumed"] == f"arn:aws:sts::{account}:assumed-role/KenjaExecutionRole/older"
    assert facts["role_arn"] == f"arn:aws:iam::{account}:role/older"
    assert (facts["roles"], facts["trust"]) == (["KenjaExecutionRole", "older"], True)
    assert facts["attached"] == ["AmazonSageMakerFullAccess"]
    assert facts["decision"] == "allowed"
    assert (facts["in_use"], facts["unknown"]) == ("DeleteConflict", "NoSuchEntity")


def test_metrics_go_by_the_query_protocol(walk: Walk) -> None:
    assert walk.facts["protocol"] == "query"
    assert walk.facts["points"] == [[1.5 + 2.5, 2.5, 2]]
    assert walk.facts["listed"] == [["load", [{"Name": "host", "Value": "a&b"}]]]


def test_a_job_trains_and_its_log_is_read(walk: Walk) -> None:
    assert (walk.facts["status"], walk.facts["ended"]) == ("Completed", True)
    assert walk.facts["messages"] >= truth.ROUNDS
    (last,) = walk.facts["last_round"]
    told = float(last.rsplit(":", 1)[1])
    assert told == pytest.approx(truth.logloss(truth.boosted(walk.train), walk.train), abs=1e-4)


def test_the_endpoint_answers_with_the_librarys_own_model(walk: Walk) -> None:
    own = truth.scores(truth.boosted(walk.train), walk.ask)
    np.testing.assert_allclose(walk.facts["predictions"], own, atol=1e-5)
    assert np.std(own) > 0.1


def test_errors_have_the_codes_of_aws(walk: Walk) -> None:
    assert walk.facts["refusal"] == "ModelError"
    assert (walk.facts["taken"], walk.facts["gone"]) == ("ValidationException", "ValidationException")


def test_the_script_leaves_the_home_folder_alone(walk: Walk) -> None:
    assert list(Path(walk.shell.home).rglob("*")) == []
