"""The job's output: whole lines with times, whatever bytes a job prints; metrics; the last error lines."""

from __future__ import annotations

import json
from pathlib import Path

from kenja_worker.shim.output import MAX_EVENT, LineSplitter, MetricReader, Tail
from kenja_worker.shim.spec import Metric
from tests.worker.shim_jobs import Job


def test_both_streams_are_logged_with_times(job: Job) -> None:
    job.run(
        "import sys\nprint('日本語 \"quoted\" \\\\n')\nprint('tail', file=sys.stderr)\nsys.stdout.write('no newline')"
    )
    raw = [json.loads(line) for line in (job.folder / "log.jsonl").read_text().splitlines()]
    assert {'日本語 "quoted" \\n', "tail", "no newline"} <= {line for _, line in raw}
    status = json.loads((job.folder / "status.json").read_bytes())
    assert all(status["started"] - 1 <= when / 1000 <= status["ended"] + 1 for when, _ in raw)


def test_flood_is_logged_whole(job: Job) -> None:
    count = 200_000
    status = job.run(f"for i in range({count}): print('line', i, 'x' * 20)", timeout_seconds=60)
    assert status["exit_code"] == 0
    assert job.lines()[1:] == [f"line {i} {'x' * 20}" for i in range(count)]


def test_binary_output_does_no_harm(job: Job) -> None:
    script = "import os\nos.write(1, bytes(range(256)) * 4000 + b'\\n')\nprint('after')"
    assert job.run(script)["exit_code"] == 0
    assert job.lines()[-1] == "after"
    assert any("\ufffd" in line for line in job.lines())


def test_line_without_end_is_cut_into_events() -> None:
    splitter = LineSplitter()
    lines = [line for _ in range(40) for line in splitter.feed(b"x" * 65536)]
    lines += splitter.finish()
    assert sum(map(len, lines)) == 40 * 65536
    assert max(map(len, lines)) == MAX_EVENT


def test_pieces_become_whole_lines() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"one\r\ntw") == ["one"]
    assert splitter.feed(b"o\n\nthree") == ["two", ""]
    assert splitter.finish() == ["three"]
    assert splitter.finish() == []


def test_prompt_without_newline_is_shown_while_the_job_waits(job: Job) -> None:
    job.write("import sys, time\nsys.stdout.write('waiting'); sys.stdout.flush(); time.sleep(30)")
    job.start()
    job.await_line("waiting")
    job.signal(10)
    job.wait()


def test_metrics_come_from_both_streams(job: Job) -> None:
    script = "import sys\nprint('[0]\\tvalidation-auc:0.91')\nprint('loss=1e-3 loss=2', file=sys.stderr)\nprint('validation-auc:nan')"
    metrics = [
        {"name": "validation:auc", "regex": "validation-auc:(\\S+)"},
        {"name": "loss", "regex": "loss=([0-9.e-]+)"},
    ]
    job.run(script, metrics=metrics)
    found = [json.loads(line) for line in (job.folder / "metrics.jsonl").read_text().splitlines()]
    assert sorted((name, value) for _, name, value in found) == [
        ("loss", 0.001),
        ("loss", 2.0),
        ("validation:auc", 0.91),
    ]


def test_expression_that_runs_for_ever_is_given_up(tmp_path: Path) -> None:
    reader = MetricReader((Metric("slow", "(a+)+b"), Metric("fast", "v=([0-9]+)")), tmp_path / "metrics.jsonl")
    notes = reader.read(["a" * 40, "v=3"], 1)
    assert len(notes) == 1
    assert "'slow'" in notes[0]
    assert reader.read(["a" * 40], 2) == []
    assert (tmp_path / "metrics.jsonl").read_text() == '[1, "fast", 3.0]\n'


def test_expressions_that_cannot_work_are_named(tmp_path: Path) -> None:
    reader = MetricReader((Metric("open", "(x"), Metric("groupless", "x")), tmp_path / "metrics.jsonl")
    assert ["'open'" in reader.notes[0], "'groupless'" in reader.notes[1]] == [True, True]


def test_tail_is_bounded() -> None:
    tail = Tail()
    tail.add([f"{number} " + "x" * 5000 for number in range(100)])
    lines = tail.text().splitlines()
    assert len(lines) == 20
    assert lines[-1].startswith("99 ")
    assert max(map(len, lines)) == 1024
