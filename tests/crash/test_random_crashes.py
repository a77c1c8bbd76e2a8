"""Rounds of work in which processes are killed at random: nothing acknowledged is lost, nothing is stuck, nothing is left.

KENJA_CRASH_ROUNDS sets how many (50), KENJA_CRASH_SEED repeats a run (what was killed when; not the machine's own timing).
"""

from __future__ import annotations

import os
import random
import secrets
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from kenja.core.clock import Clock
from kenja.kernel.database import sqlite_url
from kenja.kernel.objects import ObjectStore
from kenja.kernel.objects.errors import NoSuchKey
from tests.conftest import RunningServer, serving, wait_until
from tests.crash import endpoint, machine, training
from tests.crash.training import Started
from tests.crash.writers import Content, Ledger, Writers, cut_upload, digest
from tests.services.sagemaker import training_jobs

ROUNDS = int(os.environ.get("KENJA_CRASH_ROUNDS", "50"))
RECOVERY = 40.0  # seconds until requests are answered again
END = 90.0  # seconds until a job has ended, on a loaded machine
QUIET = 30.0  # seconds until processes, folders and control groups of ended jobs are gone


class World:
    """One data folder with the server that works on it now; `word` is in the name of everything that belongs to it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.word = f"crash{uuid.uuid4().hex[:10]}"
        self.data = folder / self.word
        self.bucket = self.word
        self.ledger = Ledger()
        self.killed: Counter[str] = Counter()
        self.groups: set[str] = set()  # control groups of jobs and replicas that were killed
        self._stack = stack
        self._open = ExitStack()
        self.server = self._start()
        s3 = self.server.client("s3")
        s3.create_bucket(Bucket=self.bucket)
        s3.put_object(Bucket=self.bucket, Key="train/train.csv", Body=training_jobs.table())
        source = training_jobs.source(train__py=training.SCRIPT)
        s3.put_object(Bucket=self.bucket, Key="code/sourcedir.tar.gz", Body=source)
        endpoint.deploy(self.server)

    def _start(self) -> RunningServer:
        self._open = self._stack.enter_context(ExitStack())
        return self._open.enter_context(serving(self.data))

    def restart(self) -> None:
        """Start a server on the same folder, after the supervisor was killed."""
        self.server.process.wait(10)
        self._open.close()
        self.server = self._start()

    def answers(self) -> bool:
        """True when requests are answered."""
        try:
            self.server.client("s3").head_bucket(Bucket=self.bucket)
        except (BotoCoreError, ClientError):
            return False
        return True

    def running(self, jobs: list[Started]) -> dict[int, Started]:
        """Shims of these jobs that run now."""
        named = {job.name: job for job in jobs}
        found = {}
        for pid, folder in machine.shims(self.server).items():
            spec = (folder / "spec.json").read_text() if (folder / "spec.json").exists() else ""
            owner = next((job for name, job in named.items() if f'"name": "{name}"' in spec), None)
            if owner is not None:
                found[pid] = owner
        return found


# What may be killed: each kills one thing if it is there and tells whether it was.
def kill_gateway(world: World, _jobs: list[Started], _choices: random.Random) -> bool:
    return _kill_one(world.server.children().get("gateway"))


def kill_reconciler(world: World, _jobs: list[Started], _choices: random.Random) -> bool:
    return _kill_one(world.server.children().get("reconciler"))


def kill_zygote(world: World, _jobs: list[Started], choices: random.Random) -> bool:
    found = machine.zygotes(world.server)
    return _kill_one(choices.choice(found) if found else None)


def kill_shim(world: World, jobs: list[Started], choices: random.Random) -> bool:
    found = world.running(jobs)
    if not found:
        return False
    pid = choices.choice(sorted(found))
    found[pid].victim = "shim"
    world.groups |= machine.named_groups(machine.shims(world.server).get(pid, world.data))
    return _kill_one(pid)


def kill_payload(world: World, jobs: list[Started], choices: random.Random) -> bool:
    found = {pid: job for pid, job in world.running(jobs).items() if machine.payload(pid) is not None}
    if not found:
        return False
    shim = choices.choice(sorted(found))
    found[shim].victim = found[shim].victim or "payload"
    return _kill_one(machine.payload(shim))


def kill_replica(world: World, _jobs: list[Started], choices: random.Random) -> bool:
    found = sorted(endpoint.shims(world.server))
    if not found:
        return False
    shim = choices.choice(found)
    return _kill_one(choices.choice([shim, machine.payload(shim)]))


def kill_supervisor(world: World, _jobs: list[Started], _choices: random.Random) -> bool:
    machine.kill(world.server.process.pid)
    world.restart()
    return True


def cut_client(world: World, _jobs: list[Started], choices: random.Random) -> bool:
    key = f"cut/{choices.getrandbits(40):010x}"
    size = choices.choice((1000, 400_000, 6_000_000))
    world.ledger.allowed[key] = {None}  # it was never sent whole, so it must never be there
    cut_upload(world.server.client("s3"), world.bucket, key, size, choices.randrange(size))
    return True


def _kill_one(pid: int | None) -> bool:
    if pid is None:
        return False
    machine.kill(pid)
    return True


VICTIMS: dict[str, Callable[[World, list[Started], random.Random], bool]] = {
    "gateway": kill_gateway,
    "reconciler": kill_reconciler,
    "zygote": kill_zygote,
    "shim": kill_shim,
    "payload": kill_payload,
    "replica": kill_replica,
    "supervisor": kill_supervisor,
    "client": cut_client,
}


def plan(seed: str) -> Iterator[tuple[list[str], random.Random]]:
    """Who dies in each round: everyone once in every few rounds, in random order, sometimes two at once."""
    order = random.Random(seed)
    waiting: list[str] = []
    for number in range(ROUNDS):
        if not waiting:
            waiting = order.sample(list(VICTIMS), len(VICTIMS))
        chosen = [waiting.pop()]
        if order.random() < 0.35:
            chosen.append(order.choice(list(VICTIMS)))
        yield chosen, random.Random(f"{seed}/{number}")


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.timeout(300 + 30 * ROUNDS)
def test_nothing_acknowledged_is_lost_and_nothing_is_stuck_or_left(tmp_path: Path) -> None:
    seed = os.environ.get("KENJA_CRASH_SEED") or secrets.token_hex(4)
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        for number, (victims, choices) in enumerate(plan(seed)):
            began = time.monotonic()
            try:
                crash_round(world, number, victims, choices, f"{seed}/{number}")
            except BaseException as error:
                error.add_note(f"crash round {number}, victims {victims}; KENJA_CRASH_SEED={seed} repeats it")
                raise
            print(f"crash round {number}: {' and '.join(victims)}, {time.monotonic() - began:.1f} s")
        print(
            f"KENJA_CRASH_SEED={seed}: {ROUNDS} rounds, {world.ledger.acknowledged} writes acknowledged, killed {dict(world.killed)}"
        )
        assert not world.ledger.problems(world.server.client("s3"), world.bucket)
        assert endpoint.delete(world.server)
        assert world.server.stop() == 0
        assert not machine.settle(lambda: machine.left(world.word), QUIET)
        assert not machine.mounts(world.word)
        assert not [group for group in world.groups if Path(group).exists()]
    check_files(world)


def crash_round(world: World, number: int, victims: list[str], choices: random.Random, seed: str) -> None:
    """Work, kill, recover, check."""
    prefix = f"round-{number}"
    writers = Writers(world.server.client("s3"), world.bucket, prefix, world.ledger, seed)
    asker = endpoint.Asker(world.server)
    try:
        jobs = [
            training.start(world.server, world.bucket, f"{world.word}-{number}-{place}", script=script, pause=pause)
            for place, (script, pause) in enumerate([(False, 0.0), (True, choices.uniform(0.02, 0.1))])
        ]
        time.sleep(choices.uniform(0.0, 0.9))
        for victim in victims:
            killed = _within(3.0, lambda victim=victim: VICTIMS[victim](world, jobs, choices))
            world.killed[victim if killed else f"{victim} (none was there)"] += 1
        wait_until(world.answers, RECOVERY)
    finally:
        writers.stop()
        asker.stop()
    for job in jobs:
        found = training.ended(world.server, job, END)
        if found is not None:
            training.check(world.server, world.bucket, job, found)
    assert not world.ledger.refused
    assert not world.ledger.problems(world.server.client("s3"), world.bucket, prefix)
    assert not world.ledger.problems(world.server.client("s3"), world.bucket, "cut/")
    wait_until(lambda: endpoint.is_whole(world.server), RECOVERY)
    assert not machine.settle(lambda: machine.strangers(world.server, world.word, endpoint.shims(world.server)), QUIET)
    assert not machine.settle(lambda: endpoint.others(world.server), QUIET), "folders of ended jobs are left"
    check_groups(world)


def check_groups(world: World) -> None:
    """The control groups of this server's jobs are those that its running replicas name, and no others."""
    kept = {line for folder in endpoint.shims(world.server).values() for line in machine.named_groups(folder)}
    world.groups |= kept
    assert not machine.settle(lambda: [group for group in world.groups - kept if Path(group).exists()], QUIET)


def _within(seconds: float, attempt: Callable[[], bool]) -> bool:
    """Try until it works or the time is over: a job may not run yet."""
    end = time.monotonic() + seconds
    while not (done := attempt()) and time.monotonic() < end:
        time.sleep(0.02)
    return done


def check_files(world: World) -> None:
    """The stopped data folder: no job or replica is left, and a sweep of the object store takes leftovers only."""
    assert not list((world.data / "jobs").iterdir())
    assert not list((world.data / "hosting").iterdir())
    folder = world.data / "objects"
    store = ObjectStore(folder, sqlite_url(folder / "index.db"), Clock())
    store.sweeper.orphans(age=-1.0)
    store.sweeper.released(grace=-1.0)
    assert not list((folder / "incoming").iterdir())
    for key, allowed in world.ledger.allowed.items():
        assert _stored(store, world, key) in allowed, key
    store.close()


def _stored(store: ObjectStore, world: World, key: str) -> Content:
    try:
        return digest(store.read(store.head(world.server.keys.account, world.bucket, key)))
    except NoSuchKey:
        return None
