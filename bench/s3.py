"""S3 beside moto's server and SeaweedFS in one run, by a raw signed client and by boto3, each over one connection.

usage: s3.py [--seconds 2] [--rounds 2] [--large 64] [--only kenja,moto,seaweedfs]
The raw client signs its requests (SigV4) before the clock runs and speaks over a plain socket, so that its own cost does
not hide the server's; moto's server closes every connection, so it pays for a new one each time. Printed per server: calls
(or MB) a second, CPU microseconds of the server's processes per call, and the ratios to ours. No server waits for
the disk when it answers a small write: moto keeps objects in memory, checks no signature and loses them when it ends;
SeaweedFS appends to its volumes without fsync, as is its default; ours commits bodies up to 16 KiB with their rows to
SQLite's write-ahead log (synchronous=NORMAL: a killed process loses nothing, a power cut may lose the last moments but tears
nothing). The bytes of larger bodies ours alone makes durable, with an fsync, before it answers. The servers take turns at
each measurement; on a shared machine the CPU figure is the one to read.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tools"), str(HERE.parent)]
TICKS = os.sysconf("SC_CLK_TCK")
REGION, BUCKET, LISTED = "us-east-1", "bench-bucket", "bench-list"
SMALL, MB, KEYS = 4096, 1024 * 1024, 150
PREPARED = 3000  # distinct small writes that are signed ahead
READ = 1024 * 1024  # bytes received at once


@dataclass
class Peer:
    """A running server: where it listens, its keys, and the processes whose CPU time counts."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    roots: list[int]
    figures: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # what -> (rate, CPU µs) of each round

    def client(self) -> Any:
        settings = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, max_pool_connections=1)
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key, config=settings,
        )  # fmt: skip

    def cpu(self) -> float:
        """Seconds of CPU that its processes have used."""
        return sum(map(_seconds, _tree(self.roots)))


class Raw:
    """A signed client on one socket."""

    def __init__(self, peer: Peer) -> None:
        parts = urlsplit(peer.endpoint)
        self._peer = peer
        self._host = parts.netloc
        self._address = (parts.hostname, parts.port)
        self._connect()
        self._buffer = memoryview(bytearray(READ))

    def _connect(self) -> None:
        self._line = socket.create_connection(self._address, timeout=60)
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def prepare(self, method: str, path: str, body: bytes = b"", **headers: str) -> list[bytes]:
        """A request as it goes over the wire: head and body."""
        request = AWSRequest(method, f"http://{self._host}{path}", data=body, headers=headers)
        S3SigV4Auth(Credentials(self._peer.access_key, self._peer.secret_key), "s3", REGION).add_auth(request)
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()
        return [head + body] if len(body) < READ else [head, body]

    def call(self, request: list[bytes]) -> int:
        """Send it and read the answer; the number of bytes of its body."""
        for piece in request:
            self._line.sendall(piece)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            piece = self._line.recv(65536)
            if not piece:
                raise ConnectionError(f"{self._peer.name} closed the connection")
            data += piece
        head = data[:end].lower()
        if not head.startswith(b"http/1.1 2"):
            raise RuntimeError(f"{self._peer.name}: {data[:600]!r}")
        if b"transfer-encoding: chunked" in head:
            return self._chunked(data[end + 4 :])
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        left = length - (len(data) - end - 4)
        while left > 0:
            got = self._line.recv_into(self._buffer, min(left, READ))
            if not got:
                raise ConnectionError(f"{self._peer.name} closed the connection")
            left -= got
        if b"connection: close" in head:  # moto's server keeps no connection
            self._line.close()
            self._connect()
        return length

    def _chunked(self, data: bytes) -> int:
        while not data.endswith(b"0\r\n\r\n"):
            data += self._line.recv(65536)
        return len(data)


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _tree(roots: list[int]) -> list[int]:
    found, waiting = [], list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):  # the thread ended meanwhile
                waiting += [int(word) for word in path.read_text().split()]
    return found


@contextmanager
def kenja(folder: Path) -> Iterator[Peer]:
    from tests.conftest import serving

    folder.mkdir(parents=True, exist_ok=True)
    with serving(folder / "data") as server:
        yield Peer("kenja", server.endpoint, server.keys.access_key, server.keys.secret_key, [server.process.pid])


@contextmanager
def moto(folder: Path) -> Iterator[Peer]:
    port = _port()
    with _process(["moto_server", "-H", "127.0.0.1", "-p", str(port)], folder) as process:
        yield Peer("moto", f"http://127.0.0.1:{port}", "AKIAIOSFODNN7EXAMPLE", "secret", [process.pid])


@contextmanager
def seaweedfs(folder: Path) -> Iterator[Peer]:
    port = _port()
    credentials = [{"accessKey": "AKIAIOSFODNN7EXAMPLE", "secretKey": "wJalrXUtnFEMI"}]
    identity = {"name": "bench", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    words = ["weed", "server", "-ip=127.0.0.1", f"-dir={folder / 'data'}", "-s3", f"-s3.port={port}",
             f"-s3.config={folder / 's3.json'}", "-master.volumeSizeLimitMB=1024", "-volume.max=20"]  # fmt: skip
    for name in ("master.port", "volume.port", "filer.port"):
        words += [f"-{name}={_port()}", f"-{name}.grpc={_port()}"]
    words += [f"-s3.port.grpc={_port()}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    with _process(words, folder) as process:
        yield Peer("seaweedfs", f"http://127.0.0.1:{port}", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI", [process.pid])


def _port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


@contextmanager
def _process(words: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A peer from the environment that requirements/bench-s3.txt pins."""
    import sdk_env

    folder.mkdir(parents=True, exist_ok=True)
    program = sdk_env.environment("bench-s3").parent / words[0]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(program), *words[1:]], cwd=folder, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def settle(peer: Peer) -> None:
    """Wait until a server answers, and give it its buckets."""
    client, end = peer.client(), time.monotonic() + 60
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            break
        except Exception:
            if time.monotonic() > end or not Path(f"/proc/{peer.roots[0]}").exists():
                raise
            time.sleep(0.5)
    client.create_bucket(Bucket=LISTED)
    for number in range(KEYS):
        client.put_object(Bucket=LISTED, Key=f"folder/key-{number:04}", Body=b"x")
    client.put_object(Bucket=BUCKET, Key="small", Body=os.urandom(SMALL))
    client.close()


def timed(
    peer: Peer, what: str, seconds: float, call: Callable[[int], Any], *, most: int, megabytes: float = 0
) -> None:
    """Call for so long, or so often, and keep the rate (MB a second where calls carry many) and the CPU time per call."""
    call(0)
    before, began, count = peer.cpu(), time.perf_counter(), 0
    while count < most - 1 and time.perf_counter() - began < seconds:
        count += 1
        call(count)
    elapsed = time.perf_counter() - began
    used = (peer.cpu() - before) / count * 1e6
    peer.figures.setdefault(what, []).append((count / elapsed * (megabytes or 1), used))


def raw_round(peer: Peer, number: int, seconds: float, large: int) -> Iterator[None]:
    """The measurements by the raw client; a step is one of them, so that the servers can take turns."""
    client, body = Raw(peer), os.urandom(SMALL)
    puts = [client.prepare("PUT", f"/{BUCKET}/raw-{number}-{key}", body) for key in range(PREPARED)]
    timed(peer, "raw PUT 4 KB", seconds, lambda turn: client.call(puts[turn]), most=PREPARED)
    yield
    get = client.prepare("GET", f"/{BUCKET}/small")
    timed(peer, "raw GET 4 KB", seconds, lambda turn: client.call(get), most=10**6)
    yield
    listing = client.prepare("GET", f"/{LISTED}?list-type=2")
    timed(peer, "raw list 150", seconds, lambda turn: client.call(listing), most=10**6)
    yield
    big = client.prepare("PUT", f"/{BUCKET}/big", os.urandom(large * MB))
    timed(peer, f"raw PUT {large} MB", seconds * 2, lambda turn: client.call(big), most=20, megabytes=large)
    yield
    whole = client.prepare("GET", f"/{BUCKET}/big")
    timed(peer, f"raw GET {large} MB", seconds, lambda turn: client.call(whole), most=20, megabytes=large)
    yield
    spans = [
        client.prepare("GET", f"/{BUCKET}/big", Range=f"bytes={at * MB}-{at * MB + MB - 1}") for at in range(large)
    ]
    timed(peer, "raw 1 MB ranges", seconds, lambda turn: client.call(spans[turn % large]), most=10**6, megabytes=1)
    yield


def boto3_round(peer: Peer, number: int, seconds: float, large: int) -> Iterator[None]:
    """The same by boto3."""
    client, body = peer.client(), os.urandom(SMALL)

    def read(**request: Any) -> None:
        for _ in client.get_object(Bucket=BUCKET, **request)["Body"].iter_chunks(MB):
            pass

    def put(turn: int) -> None:
        client.put_object(Bucket=BUCKET, Key=f"boto3-{number}-{turn}", Body=body)

    def span(turn: int) -> None:
        first = turn % large * MB
        read(Key="big", Range=f"bytes={first}-{first + MB - 1}")

    timed(peer, "boto3 PUT 4 KB", seconds, put, most=PREPARED)
    yield
    timed(peer, "boto3 GET 4 KB", seconds, lambda turn: read(Key="small"), most=10**6)
    yield
    timed(peer, "boto3 list 150", seconds, lambda turn: client.list_objects_v2(Bucket=LISTED), most=10**6)
    yield
    data, what = os.urandom(large * MB), f"boto3 PUT {large} MB"
    write = partial(client.put_object, Bucket=BUCKET, Key="big", Body=data)
    timed(peer, what, seconds * 2, lambda turn: write(), most=20, megabytes=large)
    yield
    timed(peer, f"boto3 GET {large} MB", seconds, lambda turn: read(Key="big"), most=20, megabytes=large)
    yield
    timed(peer, "boto3 1 MB ranges", seconds, span, most=10**6, megabytes=1)
    client.close()
    yield


def report(peers: list[Peer]) -> None:
    """One line per measurement: rates and CPU of each server, and how many times ours is faster."""
    ours, others = peers[0], peers[1:]
    print(
        f"{'':18}"
        + "".join(f"{peer.name:>24}" for peer in peers)
        + "".join(f"{f'× {peer.name}':>14}" for peer in others)
    )
    for what in ours.figures:
        unit = "MB/s" if "MB" in what else "/s"
        line, rates = f"{what:18}", []
        for peer in peers:
            rate, used = (statistics.median(column) for column in zip(*peer.figures[what], strict=True))
            rates.append(rate)
            line += f"{f'{rate:,.0f} {unit} {used:,.0f} µs':>24}"
        print(line + "".join(f"{rates[0] / rate:14.1f}" for rate in rates[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--large", type=int, default=64, help="MB of the large object")
    parser.add_argument("--only", default="kenja,moto,seaweedfs", help="which servers; ours is always the first")
    options = parser.parse_args()
    starters = {"kenja": kenja, "moto": moto, "seaweedfs": seaweedfs}
    with tempfile.TemporaryDirectory(prefix="kenja-bench-") as folder, ExitStack() as stack:
        names = ["kenja", *(name for name in options.only.split(",") if name != "kenja")]
        peers = [stack.enter_context(starters[name](Path(folder) / name)) for name in names]
        for peer in peers:
            settle(peer)
        for number in range(options.rounds):
            for run in (raw_round, boto3_round):
                steps = [run(peer, number, options.seconds, options.large) for peer in peers]
                for _ in zip(*steps, strict=True):
                    continue
        report(peers)


if __name__ == "__main__":
    main()
