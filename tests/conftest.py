"""What tests share: real servers on free loopback ports, boto3 clients, and both databases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig

from kenja.core.config import Config
from kenja.kernel.kernel import Kernel

ROOT = Path(__file__).parent.parent
RUNTIMES = Path(os.environ.get("KENJA_RUNTIMES", ROOT / ".runtimes"))
REGION = "us-east-1"


@dataclass(frozen=True)
class Keys:
    """A key pair as `kenja accounts create` prints it."""

    account: str
    access_key: str
    secret_key: str


@dataclass
class RunningServer:
    """One `kenja serve` process tree on its own data folder."""

    endpoint: str
    data: Path
    process: subprocess.Popen[str]
    keys: Keys
    database_url: str = ""

    def client(self, service: str, keys: Keys | None = None, region: str = REGION, **options: Any) -> Any:
        """A boto3 client of this server; `options` go to botocore's Config."""
        pair = keys or self.keys
        settings = {"retries": {"max_attempts": 0}, "read_timeout": 60, **options}
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=pair.access_key,
            aws_secret_access_key=pair.secret_key,
            config=BotoConfig(**settings),
        )

    def new_account(self) -> Keys:
        """A fresh, empty world on this server."""
        kernel = Kernel(Config(self.data, database_url=self.database_url))  # as `kenja accounts create` does
        try:
            made = kernel.identity.create_account()
        finally:
            kernel.close()
        return Keys(made.account, made.access_key_id, made.secret_access_key)

    def children(self) -> dict[str, int]:
        """Process ids of gateway and reconciler."""
        found = {}
        for pid in _children(self.process.pid):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
            except FileNotFoundError:
                continue  # it ended a moment ago
            for name in ("gateway", "reconciler"):
                if f"kenja.server.{name}" in command:
                    found[name] = pid
        return found

    def stop(self) -> int:
        """End it as a user does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


@contextmanager
def serving(data: Path, *arguments: str) -> Iterator[RunningServer]:
    """A server on a free port; it is stopped when the block ends."""
    environment = {**os.environ, "KENJA_RUNTIMES": str(RUNTIMES)}
    log = (data.parent / f"{data.name}.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "kenja", "serve", "--port", "0", "--data", str(data), *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "Kenja is ready at " not in line:
            process.wait(10)
            raise AssertionError(f"the server did not start: {line!r} {Path(log.name).read_text()[-3000:]}")
        url = arguments[arguments.index("--database-url") + 1] if "--database-url" in arguments else ""
        yield RunningServer(line.split()[-1], data, process, root_keys(data), url)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
        log.close()


def root_keys(data: Path) -> Keys:
    lines = dict(
        line.replace(" ", "").split("=", 1) for line in (data / "credentials").read_text().splitlines() if "=" in line
    )
    return Keys("000000000000", lines["aws_access_key_id"], lines["aws_secret_access_key"])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests of a worker; each test that changes global things takes an account of its own."""
    with serving(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def account(server: RunningServer) -> Keys:
    """A fresh account of the shared server."""
    return server.new_account()


@pytest.fixture
def client(server: RunningServer, account: Keys) -> Any:
    """`client("s3")`: a boto3 client in a fresh account of the shared server."""
    return lambda service, **options: server.client(service, account, **options)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL on a Unix socket: the URL of its server, without a database."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="kenja-run-"))  # pgserver's import asks for it
    import pgserver

    folder = Path(tempfile.mkdtemp(prefix="kenja-pg-"))
    instance = pgserver.get_server(folder, cleanup_mode="delete")
    for setting in (
        "fsync",
        "full_page_writes",
        "synchronous_commit",
    ):  # our processes are killed in tests, the machine is not
        instance.psql(f"ALTER SYSTEM SET {setting} = off")
    instance.psql("SELECT pg_reload_conf()")
    yield instance.get_uri().replace("postgresql://", "postgresql+psycopg://")
    instance.cleanup()


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """An empty database of the real PostgreSQL."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    url, name = make_url(postgres_server), f"t{uuid.uuid4().hex}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    return str(request.getfixturevalue("postgres"))


def wait_until(condition: Any, seconds: float = 20.0, every: float = 0.05) -> Any:
    """The first true value of `condition()`; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"nothing true within {seconds} s")
        time.sleep(every)
