"""What the suites say of our codecs, as docs/conformance.md. `python -m tests.golden.report` writes the page anew."""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [] if str(REPOSITORY / "tools") in sys.path else [str(REPOSITORY / "tools")]

from tests.golden import conformance, source  # noqa: E402

MISSES = Path(__file__).with_name("misses.toml")
PAGE = REPOSITORY / "docs" / "conformance.md"
HEAD = """\
# Protocol conformance

Written by `python -m tests.golden.report`; `tests/golden` fails when a figure or a miss differs.

botocore's source package carries the Smithy protocol test suites. They run against Kenja's wire layer with botocore's own
serializer and parsers on the client's side; the package is fetched through pip when the tests run and is no part of this
repository. Cases that botocore itself leaves out, because its client can not do them, are left out here too.

| kind | what is compared |
|---|---|
| input | what botocore sends for a case's parameters, read by Kenja, with those parameters |
| request | the bytes that the suite's authors wrote, read by Kenja, with the same parameters |
| output | what Kenja answers, read by botocore, with the case's result; the HTTP status too |
| error | the same for errors: code, message, further members, HTTP status |

An empty text, list or map in a header, a query string or a form counts as absent, since nothing there can tell them apart.
Query-compatible services answer with the status of their models, the suites with 400.
"""


@dataclass(frozen=True)
class Results:
    """Of one run: how many cases there are and what came out of those that failed, by key."""

    counts: Mapping[tuple[str, str], int]  # (kind, protocol) -> cases
    failed: Mapping[str, str]  # key -> what was expected and what came

    def passed(self, kind: str, protocol: str = "") -> tuple[int, int]:
        """(passed, all) of a kind, of one protocol or of all."""
        every = sum(n for (of, spoken), n in self.counts.items() if of == kind and protocol in ("", spoken))
        bad = sum(key.startswith(f"{kind}/") and protocol in ("", _protocol(key)) for key in self.failed)
        return every - bad, every


def run() -> Results:
    """Run every case. Raises source.Unavailable."""
    counts: Counter[tuple[str, str]] = Counter()
    failed = {}
    for case in conformance.cases(source.folder("protocols")):
        counts[case.kind, case.protocol] += 1
        assert _protocol(case.key) == case.protocol, case.key
        try:
            expected, found = conformance.run(case)
            if expected != found:
                failed[case.key] = f"expected {expected}, found {found}"
        except Exception as problem:
            failed[case.key] = repr(problem)
    return Results(counts, failed)


def table() -> dict[str, str]:
    """The known misses: key -> reason."""
    rows = tomllib.loads(MISSES.read_text())["miss"]
    return {f"{kind}/{case}": row["reason"] for row in rows for kind in row["kinds"] for case in row["cases"]}


def figures(results: Results) -> str:
    """The table of passed cases by protocol and kind."""
    protocols = sorted({protocol for _, protocol in results.counts})
    lines = [f"| protocol | {' | '.join(conformance.KINDS)} |", "|---|" + "---:|" * len(conformance.KINDS)]
    for protocol in [*protocols, ""]:
        cells = (results.passed(kind, protocol) for kind in conformance.KINDS)
        name = protocol or "**all**"
        lines.append(f"| {name} | {' | '.join(f'{good}/{every}' for good, every in cells)} |")
    return "\n".join(lines) + "\n"


def misses() -> str:
    """The known misses, each group with its reason."""
    parts = []
    for row in tomllib.loads(MISSES.read_text())["miss"]:
        names = ", ".join(f"`{case}`" for case in row["cases"])
        parts.append(f"* {names} ({', '.join(row['kinds'])}): {row['reason']}\n")
    return "\n".join(parts)


def page(results: Results) -> str:
    return f"{HEAD}\n## Passed\n\n{figures(results)}\n## Known misses\n\n{misses()}"


def _protocol(key: str) -> str:
    """The protocol of a suite file: `json_1_0-query-compatible` is a suite of `json`."""
    suite = key.split("/")[1]
    return next(
        name
        for name in ("smithy-rpc-v2-cbor", "rest-json", "rest-xml", "json", "query", "ec2")
        if suite.startswith(name)
    )


if __name__ == "__main__":
    PAGE.write_text(page(run()))
    print(f"written: {PAGE}")
