"""Processes are killed while an endpoint serves: what can answer does, what is dead comes back, the states never lie."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import RunningServer, serving, wait_until
from tests.services.sagemaker.endpoints import (
    Hosting,
    csv,
    expected,
    open_hosting,
    packed_model,
    payload,
    replicas,
    rows,
)
from tests.services.sagemaker.traffic import Traffic

pytestmark = pytest.mark.crash
TABLE = rows(2)


@pytest.fixture(scope="module")
def hosting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosting]:
    """A server of its own with an endpoint `live` of two instances."""
    with serving(tmp_path_factory.mktemp("crashes") / "data") as server:
        made = open_hosting(server, server.keys)
        made.deploy("live", count=2)
        yield made


def status(hosting: Hosting, name: str = "live") -> str:
    return str(hosting.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("victim", ["model server", "shim"])
def test_a_killed_replica_costs_only_what_it_held_and_comes_back(hosting: Hosting, victim: str) -> None:
    wait_until(lambda: hosting.ready("live") == 2)
    before = replicas(hosting.server, "live")
    folder, shim = next(iter(before.items()))
    with Traffic(hosting, "live", [expected(TABLE)]) as traffic:
        wait_until(lambda: traffic.good > 20)
        os.kill(shim if victim == "shim" else payload(shim), signal.SIGKILL)
        seen = traffic.good
        wait_until(lambda: traffic.good > seen + 50)
        wait_until(lambda: hosting.ready("live") == 2 and folder not in replicas(hosting.server, "live"))
        again = traffic.good
        wait_until(lambda: traffic.good > again + 20)
    assert set(traffic.bad) <= {"ModelError", "ServiceUnavailable"}
    assert len(traffic.bad) <= 4  # each client waits for one request at a time
    assert status(hosting) == "InService"


def test_a_replica_killed_under_load_costs_no_more_than_was_in_flight_and_every_other_answer_is_right(
    hosting: Hosting,
) -> None:
    """Raw connections, each with one request under way all the time: at most so many can be lost."""
    clients = 32
    wait_until(lambda: hosting.ready("live") == 2)
    request, truth = hosting.signed("live", csv(TABLE)), expected(TABLE)
    stop, codes = threading.Event(), []

    def ask() -> None:
        with hosting.connection() as wire:
            while not stop.is_set():
                wire.send(request)
                code, _, body = wire.answer()
                assert code != 200 or np.allclose([float(word) for word in body.split(b",")], truth, atol=1e-6)
                codes.append(code)

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(ask) for _ in range(clients)]
        try:
            wait_until(lambda: len(codes) > 500)
            folder, shim = next(iter(replicas(hosting.server, "live").items()))
            os.kill(payload(shim), signal.SIGKILL)
            wait_until(lambda: hosting.ready("live") == 2 and folder not in replicas(hosting.server, "live"))
            seen = len(codes)
            wait_until(lambda: len(codes) > seen + 500)
        finally:
            stop.set()
        for call in asking:
            call.result()
    lost = [code for code in codes if code != 200]
    assert set(lost) <= {424}  # ModelError; nothing is unavailable while the other one serves
    assert len(lost) <= clients


def test_all_replicas_killed_is_told_as_unavailable_until_they_are_back(hosting: Hosting) -> None:
    wait_until(lambda: hosting.ready("live") == 2)
    with Traffic(hosting, "live", [expected(TABLE)], clients=2) as traffic:
        for shim in replicas(hosting.server, "live").values():
            os.kill(shim, signal.SIGKILL)
        wait_until(lambda: "ServiceUnavailable" in traffic.bad)
        wait_until(lambda: hosting.ready("live") == 2)
        seen = traffic.good
        wait_until(lambda: traffic.good > seen + 10)
    assert set(traffic.bad) <= {"ModelError", "ServiceUnavailable"}


def test_a_killed_reconciler_interrupts_nothing_and_its_replicas_are_adopted(hosting: Hosting) -> None:
    wait_until(lambda: hosting.ready("live") == 2)
    before = replicas(hosting.server, "live")
    with Traffic(hosting, "live", [expected(TABLE)]) as traffic:
        old = hosting.server.children()["reconciler"]
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: hosting.server.children().get("reconciler", old) != old)
        time.sleep(1.5)
    assert traffic.bad == []
    assert traffic.good > 50
    assert replicas(hosting.server, "live") == before
    os.kill(next(iter(before.values())), signal.SIGKILL)  # the new one looks after them
    wait_until(lambda: len(set(replicas(hosting.server, "live").items()) - set(before.items())) == 1)
    wait_until(lambda: hosting.ready("live") == 2)


def test_a_killed_gateway_comes_back_and_the_replicas_do_not_notice(hosting: Hosting) -> None:
    wait_until(lambda: hosting.ready("live") == 2)
    before = replicas(hosting.server, "live")
    with Traffic(hosting, "live", [expected(TABLE)]) as traffic:
        wait_until(lambda: traffic.good > 10)
        os.kill(hosting.server.children()["gateway"], signal.SIGKILL)
        seen = traffic.good
        wait_until(lambda: traffic.good > seen + 20)
    assert set(traffic.bad) <= {
        "ConnectionClosedError",
        "EndpointConnectionError",
        "ReadTimeoutError",
        "ResponseStreamingError",
    }
    assert replicas(hosting.server, "live") == before


def test_a_killed_zygote_costs_nothing(hosting: Hosting) -> None:
    wait_until(lambda: hosting.ready("live") == 2)
    before = replicas(hosting.server, "live")
    for pid in zygotes(hosting.server):
        os.kill(pid, signal.SIGKILL)
    assert np.allclose(hosting.predict("live", TABLE), expected(TABLE), atol=1e-6)
    assert replicas(hosting.server, "live") == before
    hosting.deploy("after")
    hosting.sagemaker.delete_endpoint(EndpointName="after")


def zygotes(server: RunningServer) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                inside = (entry / "cwd").readlink() == server.data / "run" / "zygotes"
            except OSError:
                continue
            if inside and b"kenja_worker.shim.zygote" in words:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.3, 0.8])
def test_a_reconciler_killed_while_an_endpoint_starts_leaves_it_starting(hosting: Hosting, moment: float) -> None:
    name = f"start-{int(moment * 100)}"
    hosting.start(name, count=2)
    time.sleep(moment)
    os.kill(hosting.server.children()["reconciler"], signal.SIGKILL)
    assert hosting.settled(name)["EndpointStatus"] == "InService"
    assert len(replicas(hosting.server, name)) == 2
    hosting.sagemaker.delete_endpoint(EndpointName=name)
    os.kill(wait_until(lambda: hosting.server.children().get("reconciler")), signal.SIGKILL)
    wait_until(lambda: name not in names(hosting), 30)
    wait_until(lambda: not replicas(hosting.server, name))


def names(hosting: Hosting) -> list[str]:
    return [entry["EndpointName"] for entry in hosting.sagemaker.list_endpoints(MaxResults=100)["Endpoints"]]


def test_delete_endpoint_leaves_no_process_and_no_folder(hosting: Hosting) -> None:
    hosting.deploy("leaving", count=2)
    pids = [pid for shim in replicas(hosting.server, "leaving").values() for pid in (shim, payload(shim))]
    hosting.sagemaker.delete_endpoint(EndpointName="leaving")
    wait_until(lambda: "leaving" not in names(hosting), 30)
    assert not any(alive(pid) for pid in pids)
    assert not replicas(hosting.server, "leaving")


def test_replicas_end_with_the_server_and_come_back_at_its_next_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as server:
        hosting = open_hosting(server, server.keys)
        hosting.deploy("lasting", packed_model(seed=2), count=2)
        hosting.s3.delete_object(Bucket=hosting.bucket, Key=archive_key(hosting))
        pids = [pid for shim in replicas(server, "lasting").values() for pid in (shim, payload(shim))]
        assert server.stop() == 0
        assert not any(alive(pid) for pid in pids)
    with serving(data) as server:
        again = Hosting(
            server, server.keys, hosting.bucket, server.client("s3"), server.client("sagemaker"),
            server.client("sagemaker-runtime"),
        )  # fmt: skip
        assert status(again, "lasting") == "InService"
        wait_until(lambda: again.ready("lasting") == 2)
        assert np.allclose(again.predict("lasting", TABLE), expected(TABLE, seed=2), atol=1e-6)
        assert len(list((data / "jobs").iterdir())) == 2


def archive_key(hosting: Hosting) -> str:
    model = hosting.sagemaker.describe_model(ModelName="lasting")["PrimaryContainer"]["ModelDataUrl"]
    return str(model).removeprefix(f"s3://{hosting.bucket}/")


def test_a_full_machine_of_requests_is_answered(hosting: Hosting) -> None:
    """Many at once on raw connections, each with the answer to its own question."""
    wait_until(lambda: hosting.ready("live") == 2)
    tables: list[Any] = [rows(1, seed=seed) for seed in range(64)]
    wires = [hosting.connection() for _ in tables]
    opened = [wire.__enter__() for wire in wires]
    try:
        for wire, table in zip(opened, tables, strict=True):
            wire.send(hosting.signed("live", csv(table)))
        for wire, table in zip(opened, tables, strict=True):
            code, _, body = wire.answer()
            assert code == 200
            assert np.allclose(float(body), expected(table), atol=1e-6)
    finally:
        for manager in wires:
            manager.__exit__(None, None, None)
