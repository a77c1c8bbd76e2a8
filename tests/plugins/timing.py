"""Prints how long each suite took (the folder below tests/, or below tests/services/): the sum over its tests, set-up and clean-up included."""

from __future__ import annotations

from collections import defaultdict

import pytest


def suite(nodeid: str) -> str:
    """The suite of a test: "wire" for tests/wire/test_x.py, "services/s3" for tests/services/s3/test_y.py."""
    folders = nodeid.split("::", maxsplit=1)[0].split("/")[1:-1]
    return "/".join(folders[:2]) or "(top)"


class Timing:
    """Adds up the durations of one run; under xdist in the process that collects the reports."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.tests: dict[str, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[suite(report.nodeid)] += report.duration
        self.tests[suite(report.nodeid)].add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.seconds:
            return
        terminalreporter.section("time per suite")
        for name, spent in sorted(self.seconds.items(), key=lambda item: -item[1]):
            terminalreporter.write_line(f"{spent:8.1f} s  {len(self.tests[name]):5d} tests  {name}")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Timing(), "kenja-timing")
