"""What a small training job costs above the bare library: CreateTrainingJob → Completed, warm and cold, against xgboost itself.

usage: launch.py [--jobs 10]
Prints medians in milliseconds. The same ten rounds on 500 rows run three ways: in this process, in a fresh Python process,
and as a job (of which the first one is left out: it starts the zygote).
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.conftest import RunningServer, serving
from tests.services.sagemaker import training_jobs

ROWS, COLUMNS, ROUNDS = 500, 10, 10
CODE = """
import sys, numpy, xgboost
table = numpy.loadtxt(sys.argv[1], delimiter=",")
xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(table[:, 1:], label=table[:, 0]), 10).save_model(sys.argv[2])
"""


def median(work: Callable[[int], Any], times: int) -> float:
    """The median time of a piece of work in milliseconds."""
    found = []
    for number in range(times):
        began = time.perf_counter()
        work(number)
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


def jobs(server: RunningServer, data: bytes, times: int) -> tuple[float, float]:
    """Medians of Create → Completed, and of the job's own Training state."""
    s3, sagemaker = server.client("s3"), server.client("sagemaker")
    s3.create_bucket(Bucket="bench")
    s3.put_object(Bucket="bench", Key="train/train.csv", Body=data)
    training = []

    def one(number: int) -> None:
        sagemaker.create_training_job(
            **training_jobs.request(
                f"bench-{number}",
                "000000000000",
                "bench",
                HyperParameters={"num_round": "10", "objective": "binary:logistic"},
            )
        )
        while (job := sagemaker.describe_training_job(TrainingJobName=f"bench-{number}"))[
            "TrainingJobStatus"
        ] == "InProgress":
            time.sleep(0.002)
        assert job["TrainingJobStatus"] == "Completed", job
        state = next(entry for entry in job["SecondaryStatusTransitions"] if entry["Status"] == "Training")
        training.append((state["EndTime"] - state["StartTime"]).total_seconds() * 1000)

    one(-1 + 1000)
    training.clear()
    return median(one, times), statistics.median(training)


def main() -> None:
    """Run it all and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=10)
    times = parser.parse_args().jobs
    data = training_jobs.table(ROWS, columns=COLUMNS)
    table = np.loadtxt(io.BytesIO(data), delimiter=",")

    def library(_: int) -> None:
        xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(table[:, 1:], label=table[:, 0]), ROUNDS)

    with tempfile.TemporaryDirectory(prefix="k") as folder:
        path = Path(folder) / "train.csv"
        path.write_bytes(data)
        command = [sys.executable, "-c", CODE, str(path), str(path.with_suffix(".ubj"))]
        bare = median(library, times)
        process = median(lambda _: subprocess.run(command, check=True), max(3, times // 3))
        print(
            f"{'library in this process':34} {bare:8.1f} ms\n{'library in a fresh process':34} {process:8.1f} ms",
            flush=True,
        )
        for name, rung in (("job, warm (auto)", "auto"), ("job, cold (no isolation)", "none")):
            with serving(Path(folder) / rung, "--rung", rung) as server:
                whole, training = jobs(server, data, times)
            print(
                f"{name:34} {whole:8.1f} ms Create → Completed, {training:.1f} ms in Training; {whole - bare:.1f} ms above the library",
                flush=True,
            )


if __name__ == "__main__":
    main()
