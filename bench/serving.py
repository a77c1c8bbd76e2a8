"""InvokeEndpoint beside other model servers: the same model, the same client, in turns; SigV4 is verified on our side only.

usage: serving.py [--seconds 3] [--rounds 2] [--connections 1,8,64] [--peers fastapi+uvicorn,litserve,bentoml,mlserver]
Prints, for each number of connections, the rate, p50 and p99, CPU microseconds per request of the whole process tree of
the server (replica included, client not), and the ratios. On a shared machine the CPU figure is the one to read.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import xgboost
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tools"), str(HERE.parent)]
import sdk_env  # noqa: E402 - beside this folder

from bench.peers import PEERS, Address, Peer, post, running  # noqa: E402
from kenja.runtimes.registry import pins  # noqa: E402
from kenja.runtimes.uv import BuildFailed  # noqa: E402

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
REGION = "us-east-1"
FEATURES, ROUNDS, DEPTH = 30, 100, 6
CONVERSION = 2.0  # seconds that the replica has to convert its model before it is measured
OURS = "kenja (SigV4)"
TICKS = os.sysconf("SC_CLK_TCK")


def model() -> bytes:
    """A booster of 100 trees of depth 6 over 30 features, as UBJSON."""
    random = np.random.default_rng(3)
    table = random.normal(size=(4000, FEATURES)).astype(np.float32)
    label = (table[:, 0] * 2 - table[:, 1] * table[:, 2] + random.normal(size=4000) > 0).astype(np.float32)
    settings = {"objective": "binary:logistic", "max_depth": DEPTH, "nthread": 2}
    return bytes(xgboost.train(settings, xgboost.DMatrix(table, label=label), ROUNDS).save_raw("ubj"))


def row() -> bytes:
    return ",".join(f"{value:.6f}" for value in np.random.default_rng(4).normal(size=FEATURES)).encode()


@contextmanager
def kenja(folder: Path, trained: bytes) -> Iterator[Address]:
    """Address, signed request and root processes of a server with one endpoint of one instance."""
    from tests.conftest import serving

    with serving(folder / "data") as server:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            info = tarfile.TarInfo("xgboost-model")
            info.size = len(trained)
            tar.addfile(info, io.BytesIO(trained))
        s3, sagemaker = server.client("s3"), server.client("sagemaker")
        s3.create_bucket(Bucket="bench-models")
        s3.put_object(Bucket="bench-models", Key="model.tar.gz", Body=packed.getvalue())
        sagemaker.create_model(
            ModelName="bench",
            ExecutionRoleArn=f"arn:aws:iam::{server.keys.account}:role/KenjaExecutionRole",
            PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://bench-models/model.tar.gz"},
        )
        variant = {
            "VariantName": "AllTraffic", "ModelName": "bench", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1
        }  # fmt: skip
        sagemaker.create_endpoint_config(EndpointConfigName="bench", ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName="bench", EndpointConfigName="bench")
        sagemaker.get_waiter("endpoint_in_service").wait(
            EndpointName="bench", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        parts = urlsplit(server.endpoint)
        request = AWSRequest(
            "POST", f"{server.endpoint}/endpoints/bench/invocations", data=row(), headers={"Content-Type": "text/csv"}
        )
        SigV4Auth(Credentials(server.keys.access_key, server.keys.secret_key), "sagemaker", REGION).add_auth(request)
        shims = [int(path.read_text().split()[0]) for path in (server.data / "jobs").glob("*/pid")]
        assert parts.hostname is not None
        assert parts.port is not None
        sent = post(parts.netloc, "/endpoints/bench/invocations", dict(request.headers), row())
        time.sleep(CONVERSION)
        yield Address(parts.hostname, parts.port, sent, [server.process.pid, *shims])


def cpu(roots: Iterable[int]) -> float:
    """CPU seconds of process trees, with what their ended children used."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = sum(int(value) for value in fields[11:13]) / TICKS
    tree = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sum(used.get(pid, 0.0) for pid in tree)


def measure(address: Address, connections: int, seconds: float, file: Path) -> dict[str, Any]:
    file.write_bytes(address.request)
    before = cpu(address.roots)
    words = [
        sys.executable,
        str(HERE / "load.py"),
        address.host,
        str(address.port),
        str(connections),
        str(seconds),
        str(file),
    ]
    found: dict[str, Any] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    found["cpu_us"] = (cpu(address.roots) - before) / found["requests"] * 1e6
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--connections", default="1,8,64")
    parser.add_argument("--peers", default=",".join(PEERS))
    given = parser.parse_args()
    counts = [int(word) for word in given.connections.split(",")]
    results: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="kenja-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        trained = model()
        servers = {OURS: stack.enter_context(kenja(folder, trained))}
        for peer in filter(None, given.peers.split(",")):
            try:
                python = sdk_env.environment(PEERS[peer].environment)
                servers[peer] = stack.enter_context(running(PEERS[peer], python, folder / peer, trained, row()))
            except (BuildFailed, RuntimeError) as error:
                print(f"{peer} is left out: {error}", file=sys.stderr, flush=True)
        for address in servers.values():
            measure(address, 8, 1.0, folder / "request")  # warm
        for _ in range(given.rounds):
            for connections in counts:
                for server, address in servers.items():
                    found = measure(address, connections, given.seconds, folder / "request")
                    results.setdefault((server, connections), []).append(found)
        print_table(results, counts, given.rounds, [peer for peer in servers if peer != OURS])


def print_table(
    results: dict[tuple[str, int], list[dict[str, Any]]], counts: list[int], rounds: int, peers: list[str]
) -> None:
    versions = ", ".join(f"{PEERS[peer].distribution} {_version(PEERS[peer])}" for peer in peers)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"xgboost {xgboost.__version__}; {versions}; {os.cpu_count()} cores, load {load}, medians of {rounds} rounds")
    print(f"{'server':18}{'connections':>12}{'rate/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}{'bad':>5}")
    middle = {
        key: {name: statistics.median(run[name] for run in runs) for name in runs[0]} for key, runs in results.items()
    }
    for (server, connections), found in sorted(middle.items(), key=lambda item: (item[0][1], item[0][0])):
        print(
            f"{server:18}{connections:>12}{found['rate']:>10.0f}{found['p50_ms']:>9.2f}{found['p99_ms']:>9.2f}"
            f"{found['cpu_us']:>9.1f}{found['bad']:>5.0f}"
        )
    for connections in counts:
        for peer in peers:
            ours, theirs = middle[OURS, connections], middle[peer, connections]
            print(
                f"at {connections:>2} connections over {peer:16}: rate x{ours['rate'] / theirs['rate']:.2f}, "
                f"CPU per request /{theirs['cpu_us'] / ours['cpu_us']:.2f}, p50 /{theirs['p50_ms'] / ours['p50_ms']:.2f}"
            )


def _version(peer: Peer) -> str:
    return pins((HERE.parent / "requirements" / f"{peer.environment}.txt").read_text())[peer.distribution]


if __name__ == "__main__":
    main()
