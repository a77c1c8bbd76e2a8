"""Runs a checkout of ceph/s3-tests, which the user supplies, against a fresh server, and prints what passed by group.

usage: s3_conformance.py DIRECTORY [--all] [--workers N] [PYTEST ARGUMENTS …]
The suite gets an environment of its own below .venvs/, made from its own requirements.txt, and a configuration with three
accounts of the server. Without --all the cases are those of GROUPS: no access control lists, versions, locks, encryption.
The server runs with KENJA_OBJECT_OWNERSHIP=ObjectWriter, as the suite expects the access control lists of before April 2023.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kenja.core.config import Config
from kenja.kernel.kernel import Kernel
from kenja.runtimes.build import make_environment
from kenja.runtimes.places import draft_of
from kenja.runtimes.uv import BuildFailed, run_uv
from kenja.services.s3.protection import canonical_id

REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENTS = REPOSITORY / ".venvs"
BUILT = "built.txt"
LAYOUTS = ("s3tests/functional/test_s3.py", "s3tests_boto3/functional/test_s3.py")  # newer and older checkouts
GROUPS: Mapping[str, str] = {  # the first that fits a case's name has it
    "POST": r"test_post_object",
    "presigned": r"presign|raw_\w*(expired|x_amz_expires|out_range|out_of_range|put_authenticated)",
    "copy": r"test_object_copy|test_multipart_copy|copy_object",
    "range": r"range",
    "multipart": r"test_multipart|test_list_multipart|test_abort_multipart|test_upload_part",
    "list": r"test_bucket_list|test_basic_key_count|test_buckets_list",
    "read and write": r"test_object_(write|read|head|raw|set_get|metadata|requestid|delete|checksum)"
    r"|test_(get|put)_object_if|test_multi_object|test_object_create",
}
LEFT_OUT = (
    r"_acl|acl_|version|lock|sse|kms|encrypt|lifecycle|bucket_policy|website|logging|iam|notification|cloud|restore"
)
SHOWN = 60  # characters of a failure's first line


@dataclass(frozen=True)
class Account:
    """One account of the server, as the suite's configuration names it."""

    number: str
    access_key: str
    secret_key: str


def suite(checkout: Path) -> str:
    """The file of the cases, relative to the checkout. Raises SystemExit for what is no checkout, or one of nose's days."""
    for place in LAYOUTS:
        path = checkout / place
        if path.is_file():
            if "from nose" in path.read_text():
                raise SystemExit(f"{path} needs nose, which no Python of today runs; use a checkout of 2023 or later.")
            return place
    raise SystemExit(f"{checkout} is no checkout of ceph/s3-tests: it has neither {' nor '.join(LAYOUTS)}.")


def environment(checkout: Path) -> Path:
    """The interpreter with what the suite requires; built when its requirements.txt was not seen before. Raises BuildFailed."""
    requirements = checkout / "requirements.txt"
    key = hashlib.sha256(f"{requirements.read_text()}\0{sys.version}".encode()).hexdigest()[:12]
    place = ENVIRONMENTS / f"s3tests-{key}"
    with draft_of(place, BUILT) as draft:
        if draft is not None:
            print(f"building {place} …", file=sys.stderr, flush=True)
            make_environment(draft, Path(sys.executable))
            python = str(draft / "bin" / "python")
            run_uv(
                "pip", "install", "--python", python, "-r", str(requirements), "pytest", "pytest-xdist", "setuptools<81"
            )
            (draft / BUILT).write_text(requirements.read_text())
    return place / "bin" / "python"


@contextmanager
def server(data: Path) -> Iterator[tuple[str, list[Account]]]:
    """A fresh server's address, and three accounts of it."""
    settings = {**os.environ, "KENJA_OBJECT_OWNERSHIP": "ObjectWriter"}
    command = [sys.executable, "-m", "kenja", "serve", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "Kenja is ready at " not in line:
            raise SystemExit(f"the server did not start: {line!r}")
        kernel = Kernel(Config(data))
        made = [kernel.identity.ensure_root_credentials(data), *(kernel.identity.create_account() for _ in range(2))]
        kernel.close()
        yield line.split()[-1], [Account(keys.account, keys.access_key_id, keys.secret_access_key) for keys in made]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def configuration(endpoint: str, accounts: list[Account]) -> str:
    """The suite's s3tests.conf."""
    parts = urlsplit(endpoint)
    main, alt, tenant = accounts
    lines = ["[DEFAULT]", f"host = {parts.hostname}", f"port = {parts.port}", "is_secure = False", "ssl_verify = False"]
    lines += ["[fixtures]", "bucket prefix = kenja-{random}-"]
    lines += ["iam name prefix = s3-tests-", "iam path prefix = /s3-tests/"]
    sections = {
        "s3 main": main, "s3 alt": alt, "s3 tenant": tenant, "iam": main, "iam root": main, "iam alt root": alt
    }  # fmt: skip
    for name, account in sections.items():
        lines += [f"[{name}]", f"display_name = {account.number}", f"user_id = {canonical_id(account.number)}"]
        lines += [f"access_key = {account.access_key}", f"secret_key = {account.secret_key}"]
        lines += [f"email = {name.replace(' ', '-')}@example.com"]
        if name == "s3 main":
            lines += ["api_name = eu-west-1"]  # a location constraint, which us-east-1 is not
        if name == "s3 tenant":
            lines += ["tenant ="]
    return "\n".join(lines) + "\n"


def group(case: str) -> str | None:
    """The group of a case by its name; None for what the selection leaves out."""
    name = case.rpartition("::")[2].partition("[")[0]
    if re.search(LEFT_OUT, name):
        return None
    return next((label for label, pattern in GROUPS.items() if re.search(pattern, name)), None)


def collected(listing: str) -> list[str]:
    """The cases that pytest's collection printed."""
    return [line.strip() for line in listing.splitlines() if "::test_" in line]


def report(results: Path, labels: Mapping[str, str]) -> tuple[list[str], bool]:
    """Lines that tell what passed by group, then what did not; and whether everything did."""
    passed: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    misses = []
    for case in ET.parse(results).iter("testcase"):
        name = str(case.get("name"))
        label = labels.get(name.partition("[")[0], "other")
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        if case.find("skipped") is not None:
            continue
        total[label] += 1
        passed[label] += bad is None
        if bad is not None:
            misses.append(f"  {name}: {' '.join(str(bad.get('message', '')).split())[:SHOWN]}")
    lines = [f"{label:16} {passed[label]:4} of {total[label]}" for label in sorted(total)]
    lines.append(f"{'all':16} {sum(passed.values()):4} of {sum(total.values())}")
    return [*lines, *(["did not pass:", *sorted(misses)] if misses else [])], not misses


def run(checkout: Path, options: argparse.Namespace, extra: Iterable[str]) -> int:
    """Everything; the exit status is 1 when a case did not pass."""
    cases = suite(checkout)
    python = environment(checkout)
    with (
        tempfile.TemporaryDirectory(prefix="kenja-s3tests-") as folder,
        server(Path(folder) / "data") as (endpoint, made),
    ):
        settings = Path(folder) / "s3tests.conf"
        settings.write_text(configuration(endpoint, made))
        variables = {
            **os.environ, "S3TEST_CONF": str(settings), "AWS_DEFAULT_REGION": "us-east-1", "S3_USE_SIGV4": "1",
            "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }  # fmt: skip
        pytest = [str(python), "-m", "pytest", "-p", "no:cacheprovider"]
        listing = subprocess.run(
            [*pytest, "--collect-only", "-q", cases],
            cwd=checkout,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        found = collected(listing.stdout)
        if not found:
            raise SystemExit(f"pytest found no cases:\n{listing.stdout[-2000:]}{listing.stderr[-2000:]}")
        labels = {case.rpartition("::")[2].partition("[")[0]: label for case in found if (label := group(case))}
        chosen = found if options.all else [case for case in found if group(case)]
        print(f"{len(chosen)} of {len(found)} cases", flush=True)
        names = Path(folder) / "cases.txt"
        names.write_text("\n".join(chosen) + "\n")
        results = Path(folder) / "results.xml"
        workers = ["-n", str(options.workers)] if options.workers > 1 else []
        command = [*pytest, "-q", "--tb=line", f"--junitxml={results}", *workers, *extra, f"@{names}"]
        subprocess.run(command, cwd=checkout, env=variables, check=False)
        lines, everything = report(results, labels)
        print("\n".join(lines))
    return 0 if everything else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("checkout", type=Path, help="a checkout of https://github.com/ceph/s3-tests")
    parser.add_argument("--all", action="store_true", help="every case of test_s3.py, not only the groups")
    parser.add_argument("--workers", type=int, default=1, help="processes that run cases at once")
    options, extra = parser.parse_known_args()
    try:
        return run(options.checkout.absolute(), options, extra)
    except BuildFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
