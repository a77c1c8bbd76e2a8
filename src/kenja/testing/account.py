"""One test's account on a test server: clients, a bucket, and jobs that wait until the test lets them go on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kenja.testing.server import TestServer

STEP_SECONDS = 120.0  # that a job may take to its next gate
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class HeldJob:
    """A job behind a gate: `phase` is "queued" before it starts and "running" until its outputs are collected."""

    job: str
    region: str
    kind: str  # as "sagemaker:TrainingJob"
    name: str
    phase: str
    granted: int
    taken: int


class TestAccount:
    """Separate from every other account: nothing of another test is seen here, and nothing of this one there."""

    __test__ = False  # pytest must not take it for a test

    def __init__(self, server: TestServer, region: str, made: dict[str, str]) -> None:
        self._server = server
        self._keys = made
        self.endpoint = server.endpoint
        self.region = region
        self.account = made["account"]

    @property
    def role(self) -> str:
        """ARN of an execution role that jobs and models can be given."""
        return f"arn:aws:iam::{self.account}:role/KenjaExecutionRole"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to meet this account where it looks for AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self._keys["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": self._keys["secret_access_key"],
            "AWS_SESSION_TOKEN": self._keys["session_token"],
        }

    def session(self) -> Any:
        """A boto3 session of this account; its clients find the server by AWS_ENDPOINT_URL."""
        import boto3

        return boto3.Session(
            aws_access_key_id=self._keys["access_key_id"],
            aws_secret_access_key=self._keys["secret_access_key"],
            aws_session_token=self._keys["session_token"],
            region_name=self.region,
        )

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client of this account."""
        return self.session().client(service, endpoint_url=self.endpoint, **options)

    def bucket(self, name: str = "") -> str:
        """Create a bucket and return its name."""
        chosen = name or f"kenja-{self.account}"
        where = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        self.client("s3").create_bucket(Bucket=chosen, **where)
        return chosen

    def hold_jobs(self) -> None:
        """Make every job that is created from now on wait: before it starts, and again before its outputs are collected."""
        self._server.ask("POST", "/_kenja/jobs/hold", account=self.account)

    def release_jobs(self) -> None:
        """Let all jobs run as they like again."""
        self._server.ask("POST", "/_kenja/jobs/release", account=self.account)

    def held_jobs(self) -> list[HeldJob]:
        """The jobs that wait or run behind a gate, oldest first."""
        return _jobs(self._server.ask("GET", "/_kenja/jobs", account=self.account))

    def step(self, name: str = "", seconds: float = STEP_SECONDS) -> list[HeldJob]:
        """Let held jobs, or the one called `name`, pass their next gate; what is still held then, once all have passed.

        A first step starts a job; a second lets it end, after its process has. Raises LookupError when there is nothing to
        step and TimeoutError when a job does not come to its gate within `seconds`.
        """
        stepped = _jobs(self._server.ask("POST", "/_kenja/jobs/step", account=self.account, name=name))
        if not stepped:
            raise LookupError(
                f"No held job{f' called {name!r}' if name else ''}; call hold_jobs() before it is created."
            )
        wanted = {held.job: held.granted for held in stepped}
        end = time.monotonic() + seconds
        while True:
            left = self.held_jobs()
            waiting = [held for held in left if held.taken < wanted.get(held.job, 0) or held.phase in _PASSING]
            if not waiting:
                return left
            if time.monotonic() > end:
                raise TimeoutError(f"Not at the next gate after {seconds:.0f} s: {[held.name for held in waiting]}")
            time.sleep(_LOOK_SECONDS)


_PASSING = ("starting", "collecting")  # a job in one of these is between two gates


def _jobs(answer: dict[str, Any]) -> list[HeldJob]:
    return [HeldJob(**held) for held in answer["jobs"]]
