"""Writes docs/parity.md and the parity region of README.md from what the services declare. `--check` writes nothing."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from kenja.kernel.declare import OperationEntry, Service
from kenja.kernel.services import load_all

REPOSITORY = Path(__file__).resolve().parent.parent
TABLE = REPOSITORY / "docs" / "parity.md"
README = REPOSITORY / "README.md"
BEGIN, END = "<!-- parity: written by tools/parity.py -->", "<!-- /parity -->"
ADVERTISED = 2  # the lowest level that README names: below it nothing is done with what is stored

LEVELS = """\
| level | name | meaning |
|---|---|---|
| 0 | refused | HTTP 501, code `UnsupportedOperationException`, with a sentence that says why |
| 1 | recorded | stored, validated, listed, tagged, deleted; nothing else happens |
| 2 | acts | a real engine does the work; changing the input changes the answer |
| 3 | faithful | acts, with AWS's limits, states, error codes, events, metrics and permissions |

Permissions are part of no level yet: any valid key may do everything in its account.
"""


def table(services: list[Service]) -> str:
    """docs/parity.md: every served operation with its level and the file that answers it."""
    parts = [
        "# Parity levels\n\nWritten by `tools/parity.py` from the code. `kenja operations` prints the same with line numbers.\n",
        LEVELS,
    ]
    parts.extend(_section(service) for service in services)
    return "\n".join(parts)


def _section(service: Service) -> str:
    refused = len(service.model.operation_names) - len(service.operations)
    rows = [_row(service.operations[name]) for name in sorted(service.operations)]
    head = f"## {service.name}\n\n{len(rows)} operations are served; the other {refused} of the service model are level 0.\n"
    return "\n".join([head, "| operation | level | answered by | code |", "|---|---|---|---|", *rows, ""])


def _row(entry: OperationEntry) -> str:
    path = Path(entry.file).resolve().relative_to(REPOSITORY)
    how = "written" if entry.kind == "written" else "derived from the model"
    return f"| {entry.name} | {entry.level} | {how} | [{path}](../{path}) |"


def region(services: list[Service]) -> str:
    """README's table: what works at level 2 and above, per service."""
    rows = []
    for service in services:
        levels = Counter(entry.level for entry in service.operations.values())
        names = ", ".join(name for name in sorted(service.operations) if service.operations[name].level >= ADVERTISED)
        if names:
            rows.append(f"| {service.name} | {levels[3]} | {levels[2]} | {names} |")
    return "\n".join(["| service | level 3 | level 2 | operations |", "|---|---|---|---|", *rows])


def readme(services: list[Service], present: str) -> str:
    """README with its region replaced; everything outside the markers stays."""
    before, begin, rest = present.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{region(services)}\n\n{END}{after}"


def stale() -> dict[Path, str]:
    """The files that are not current, with the text that they should have."""
    services = load_all()
    wanted = {TABLE: table(services), README: readme(services, README.read_text())}
    return {path: text for path, text in wanted.items() if not path.is_file() or path.read_text() != text}


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the parity tables.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not current")
    check = parser.parse_args().check
    outdated = stale()
    for path, text in outdated.items():
        if check:
            print(f"{path} is not current; run: make docs", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            print(f"wrote {path}")
    return 1 if check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
