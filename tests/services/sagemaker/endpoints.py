"""Small models, endpoints and raw HTTP requests: what the tests of hosting share. No test here."""

from __future__ import annotations

import functools
import io
import json
import os
import socket
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import xgboost
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.conftest import REGION, Keys, RunningServer, wait_until

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
FEATURES = 6


@functools.cache
def booster(seed: int = 1, rounds: int = 20) -> xgboost.Booster:
    """A booster of the library itself."""
    random = np.random.default_rng(seed)
    table = random.normal(size=(300, FEATURES)).astype(np.float32)
    label = (table[:, 0] * 2 - table[:, 1] + seed * table[:, 2] > 0).astype(np.float32)
    settings = {"objective": "binary:logistic", "nthread": 1, "max_depth": 4}
    return xgboost.train(settings, xgboost.DMatrix(table, label=label), rounds)


def rows(count: int, seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, FEATURES)).astype(np.float32)


def csv(table: np.ndarray) -> bytes:
    return "\n".join(",".join(map(repr, map(float, row))) for row in table).encode()


def expected(table: np.ndarray, seed: int = 1) -> list[float]:
    return [float(value) for value in booster(seed).predict(xgboost.DMatrix(table))]


def archive(**files: bytes) -> bytes:
    """A tar.gz; `__` in a name stands for a hyphen."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("__", "-"))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def packed_model(seed: int = 1) -> bytes:
    return archive(xgboost__model=bytes(booster(seed).save_raw("ubj")))


@dataclass
class Hosting:
    """One account of a server with clients, a bucket and shortcuts."""

    server: RunningServer
    keys: Keys
    bucket: str
    s3: Any
    sagemaker: Any
    runtime: Any

    @property
    def role(self) -> str:
        return f"arn:aws:iam::{self.keys.account}:role/KenjaExecutionRole"

    def container(self, body: bytes | None = None, **changes: Any) -> dict[str, Any]:
        """The container of a model whose archive is `body`."""
        key = f"{uuid.uuid4().hex}/model.tar.gz"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=packed_model() if body is None else body)
        return {"Image": IMAGE, "ModelDataUrl": f"s3://{self.bucket}/{key}", **changes}

    def model(self, name: str, body: bytes | None = None, **changes: Any) -> str:
        self.sagemaker.create_model(
            ModelName=name,
            **{"ExecutionRoleArn": self.role, "PrimaryContainer": self.container(body), **changes},
        )
        return name

    def variant(self, model: str, **changes: Any) -> dict[str, Any]:
        base = {"VariantName": "AllTraffic", "ModelName": model, "InstanceType": "ml.m5.large"}
        return {**base, "InitialInstanceCount": 1, **changes}

    def config(self, name: str, model: str, **changes: Any) -> str:
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[self.variant(model, **changes)]
        )
        return name

    def start(self, name: str, body: bytes | None = None, count: int = 1, **changes: Any) -> str:
        """Begin to create an endpoint with a model and a configuration of its name."""
        self.config(name, self.model(name, body, **changes), InitialInstanceCount=count)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        return name

    def settled(self, name: str) -> dict[str, Any]:
        """The description of an endpoint that is no longer being created."""
        found: dict[str, Any] = wait_until(
            lambda: (
                (d := self.sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"]
                not in ("Creating", "Updating")
                and d
            ),
            60,
        )
        return found

    def deploy(self, name: str, body: bytes | None = None, count: int = 1, **changes: Any) -> str:
        described = self.settled(self.start(name, body, count, **changes))
        assert described["EndpointStatus"] == "InService", described.get("FailureReason")
        return name

    def predict(self, name: str, table: np.ndarray) -> list[float]:
        answer = self.runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=csv(table))
        return [float(value) for value in answer["Body"].read().split(b",")]

    def ready(self, name: str) -> int:
        (variant,) = self.sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
        return int(variant["CurrentInstanceCount"])

    def log(self, name: str) -> list[str]:
        """The messages of all streams of an endpoint's log group."""
        logs = self.server.client("logs", self.keys)
        found = logs.filter_log_events(logGroupName=f"/aws/sagemaker/Endpoints/{name}")
        return [event["message"] for event in found["events"]]

    def signed(self, name: str, body: bytes, path: str | None = None, **headers: str) -> bytes:
        """An InvokeEndpoint request as bytes, signed; `_` in header names stands for a hyphen."""
        url = f"{self.server.endpoint}{path or f'/endpoints/{name}/invocations'}"
        fields = {"Content-Type": "text/csv", **{key.replace("_", "-"): value for key, value in headers.items()}}
        request = AWSRequest("POST", url, data=body, headers=fields)
        SigV4Auth(Credentials(self.keys.access_key, self.keys.secret_key), "sagemaker", REGION).add_auth(request)
        lines = "".join(f"{key}: {value}\r\n" for key, value in request.headers.items())
        parts = urlsplit(url)
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    @contextmanager
    def connection(self) -> Iterator[Wire]:
        parts = urlsplit(self.server.endpoint)
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as line:
            yield Wire(line)


class Wire:
    """A raw connection that reads whole HTTP answers."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self._file = line.makefile("rb")

    def send(self, data: bytes) -> None:
        self.line.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of the next answer."""
        status = int(self._file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self._file.read(int(headers.get("content-length", 0)))

    def ended(self) -> bool:
        """True when the server closes the connection."""
        return self._file.read(1) == b""


def open_hosting(server: RunningServer, keys: Keys) -> Hosting:
    s3 = server.client("s3", keys)
    bucket = f"models-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    sagemaker = server.client("sagemaker", keys, parameter_validation=False)  # what is wrong must reach the server
    return Hosting(
        server, keys, bucket, s3, sagemaker, server.client("sagemaker-runtime", keys, max_pool_connections=32)
    )


def replicas(server: RunningServer, name: str) -> dict[str, int]:
    """The shims of an endpoint's replicas, by folder."""
    found = {}
    for spec in (server.data / "jobs").glob("*/spec.json"):
        try:
            if json.loads(spec.read_text())["name"] == name:
                found[spec.parent.name] = int((spec.parent / "pid").read_text().split()[0])
        except FileNotFoundError:
            continue  # not launched yet, or put away a moment ago
    return found


def payload(shim: int) -> int:
    """The model server itself: the last of the line of children below its shim, without the nice one that converts its model."""
    while children := [
        child for child in Path(f"/proc/{shim}/task/{shim}/children").read_text().split() if not is_nice(child)
    ]:
        shim = int(children[-1])
    return shim


def is_nice(pid: str) -> bool:
    return os.getpriority(os.PRIO_PROCESS, int(pid)) > 5
