"""Two questions about many jobs: how fast a queue drains while Describe is asked all the time, and what a page of a long list costs.

Goals: 200 queued jobs drain on two cores while DescribeTrainingJob's 99th percentile stays under 50 ms; a page of a listing of
100,000 jobs costs the same wherever it lies and whatever it filters by.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.conftest import RunningServer, serving
from tests.services.sagemaker import training_jobs

BUCKET = "bench-queue"
PAUSE = 0.01  # seconds between two Describes
FILTERS: dict[str, dict[str, Any]] = {
    "no filter": {},
    "StatusEquals, one in 1,000": {"StatusEquals": "Failed"},
    "NameContains, all": {"NameContains": "JOB"},
    "NameContains, one": {"NameContains": "-99999"},
    "NameContains, none": {"NameContains": "zzz"},
    "CreationTimeBefore, 50": {"CreationTimeBefore": 1_700_000_050},
    "LastModifiedTimeAfter, 50": {"LastModifiedTimeAfter": 1_700_099_950},
}


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Asker:
    """A client that describes one job after another until it is stopped; seconds per answer."""

    def __init__(self, server: RunningServer, names: list[str]) -> None:
        self.seconds: list[float] = []
        self._sagemaker = server.client("sagemaker")
        self._names = itertools.cycle(names)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(PAUSE):
            began = time.perf_counter()
            self._sagemaker.describe_training_job(TrainingJobName=next(self._names))
            self.seconds.append(time.perf_counter() - began)


def drain(server: RunningServer, count: int) -> None:
    s3, sagemaker = server.client("s3"), server.client("sagemaker")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="train/train.csv", Body=training_jobs.table())
    names = [f"queued-{number}" for number in range(count)]
    began = time.perf_counter()
    for name in names:
        sagemaker.create_training_job(**training_jobs.request(name, server.keys.account, BUCKET))
    created = time.perf_counter() - began
    asker = Asker(server, names)
    while sagemaker.list_training_jobs(StatusEquals="InProgress", MaxResults=1)["TrainingJobSummaries"]:
        time.sleep(0.2)
    drained = time.perf_counter() - began
    asker.stop()
    ends = [sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] for name in names]
    assert ends == ["Completed"] * count, ends
    millis = [value * 1000 for value in asker.seconds]
    print(f"{count} jobs created in {created:.1f} s, drained after {drained:.1f} s ({count / drained:.1f} jobs/s)")
    print(
        f"DescribeTrainingJob meanwhile, {len(millis)} times: p50 {statistics.median(millis):.1f} ms, "
        f"p99 {percentile(millis, 0.99):.1f} ms, longest {max(millis):.1f} ms"
    )


def fill(server: RunningServer, count: int) -> None:
    """Rows as CreateTrainingJob writes them, straight into the file: copies of one real job."""
    (source,) = server.client("sagemaker").list_training_jobs(MaxResults=1)["TrainingJobSummaries"]
    columns = "account, region, kind, name, arn, status, created, modified, version, body"
    with sqlite3.connect(server.data / "kenja.db", timeout=60) as database:
        row = database.execute(
            f"SELECT {columns} FROM resource WHERE name = ?", (source["TrainingJobName"],)
        ).fetchone()
        account, region, kind, _, arn, _, _, _, version, body = row
        database.executemany(
            f"INSERT INTO resource ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (account, region, kind, f"job-{number * 7919 % count:06d}-{number}", f"{arn}-{number}",
                 "Failed" if number % 1000 == 7 else "Completed", 1.7e9 + number, 1.7e9 + number, version, body)
                for number in range(count)
            ),
        )  # fmt: skip
    database.close()


def pages(server: RunningServer, count: int) -> None:
    sagemaker = server.client("sagemaker")
    slowest = 0.0
    for (name, filters), sort, order in itertools.product(
        FILTERS.items(), ("Name", "CreationTime", "Status"), ("Ascending", "Descending")
    ):
        request = {**filters, "SortBy": sort, "SortOrder": order, "MaxResults": 100}
        times, found, token = [], 0, None
        while True:
            began = time.perf_counter()
            page = sagemaker.list_training_jobs(**request, **({"NextToken": token} if token else {}))
            times.append(time.perf_counter() - began)
            found += len(page["TrainingJobSummaries"])
            token = page.get("NextToken")
            if token is None or len(times) == 200:
                break
        slowest = max(slowest, percentile(times, 0.99))
        places = [times[0], times[len(times) // 2], times[-1]]
        shown = " / ".join(f"{value * 1000:.1f}" for value in places)
        print(
            f"{name:28} {sort:12} {order:10} {found:6} found on {len(times):3} pages; first, middle and last of them {shown} ms"
        )
    print(f"{count} jobs: the 99th percentile of the slowest listing is {slowest * 1000:.1f} ms for a page")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200, help="how many are queued")
    parser.add_argument("--listed", type=int, default=100_000, help="how many are listed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data") as server:
        drain(server, options.jobs)
        fill(server, options.listed)
        pages(server, options.listed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
