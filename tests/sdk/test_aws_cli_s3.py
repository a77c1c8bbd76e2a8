"""The AWS CLI's `aws s3` against the server: what is stored is what was sent, and what fails ends with the CLI's exit status."""

from __future__ import annotations

import hashlib
import os
import random
import urllib.request
import uuid
from pathlib import Path

import pytest

from tests.sdk.shell import Shell

pytestmark = pytest.mark.sdk
BIG = 20 * 1024 * 1024  # bytes; the CLI sends it in three parts of 8 MiB
LONG_AGO = 1_600_000_000  # seconds; `aws s3 sync` compares times by the second


@pytest.fixture
def bucket(shell: Shell) -> str:
    """A bucket of its own for a test."""
    name = f"cli-{uuid.uuid4().hex[:12]}"
    shell.client("s3").create_bucket(Bucket=name)
    return name


def keys(shell: Shell, bucket: str) -> set[str]:
    return {entry["Key"] for entry in shell.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])}


def body(shell: Shell, bucket: str, key: str) -> bytes:
    content: bytes = shell.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def tree(folder: Path, **files: str) -> Path:
    """Old files below a folder; `__` in a name stands for a slash."""
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (LONG_AGO, LONG_AGO))
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_bucket_is_made_listed_and_removed(shell: Shell) -> None:
    name = f"made-{uuid.uuid4().hex[:12]}"
    assert shell.aws("s3", "mb", f"s3://{name}").text.strip() == f"make_bucket: {name}"
    assert name in shell.aws("s3", "ls").text.split()
    shell.aws("s3", "rb", f"s3://{name}")
    assert name not in shell.aws("s3", "ls").text.split()


def test_cp_up_and_down_of_a_file_in_parts(shell: Shell, bucket: str, tmp_path: Path) -> None:
    data = random.Random(4).randbytes(BIG)
    (tmp_path / "big.bin").write_bytes(data)
    shell.aws("s3", "cp", str(tmp_path / "big.bin"), f"s3://{bucket}/folder/", "--no-progress")
    head = shell.client("s3").head_object(Bucket=bucket, Key="folder/big.bin")
    pieces = [data[start : start + 8 * 1024 * 1024] for start in range(0, BIG, 8 * 1024 * 1024)]
    whole = hashlib.md5(b"".join(hashlib.md5(piece).digest() for piece in pieces)).hexdigest()
    assert head["ETag"] == f'"{whole}-{len(pieces)}"'
    shell.aws("s3", "cp", f"s3://{bucket}/folder/big.bin", str(tmp_path / "back.bin"), "--no-progress")
    assert (tmp_path / "back.bin").read_bytes() == data
    listed = shell.aws("s3", "ls", f"s3://{bucket}/folder/").text.split()
    assert listed[-2:] == [str(BIG), "big.bin"]


def test_cp_from_and_to_a_pipe(shell: Shell, bucket: str) -> None:
    data = "値,1\n".encode() * 1000
    shell.aws("s3", "cp", "-", f"s3://{bucket}/piped.csv", "--content-type", "text/csv", stdin=data)
    assert body(shell, bucket, "piped.csv") == data
    assert shell.client("s3").head_object(Bucket=bucket, Key="piped.csv")["ContentType"] == "text/csv"
    assert shell.aws("s3", "cp", f"s3://{bucket}/piped.csv", "-").output == data


def test_recursive_cp_takes_a_tree_there_and_back(shell: Shell, bucket: str, tmp_path: Path) -> None:
    source = tree(
        tmp_path / "up", **{"one.csv": "1", "deep__er__two.csv": "2", "a b__日本 +%41.txt": "3", "left.tmp": "4"}
    )
    shell.aws("s3", "cp", str(source), f"s3://{bucket}/t/", "--recursive", "--exclude", "*.tmp", "--no-progress")
    assert keys(shell, bucket) == {"t/one.csv", "t/deep/er/two.csv", "t/a b/日本 +%41.txt"}
    shell.aws("s3", "cp", f"s3://{bucket}/t", str(tmp_path / "down"), "--recursive", "--no-progress")
    assert contents(tmp_path / "down") == {name: text for name, text in contents(source).items() if name != "left.tmp"}
    listed = shell.aws("s3", "ls", f"s3://{bucket}/t/").text.splitlines()
    assert [line.strip().split(maxsplit=1)[0] for line in listed[:2]] == ["PRE", "PRE"]
    summary = shell.aws("s3", "ls", f"s3://{bucket}", "--recursive", "--summarize").text
    assert "Total Objects: 3" in summary
    shell.aws("s3", "rm", f"s3://{bucket}/t/", "--recursive")
    assert keys(shell, bucket) == set()


def test_sync_sends_only_what_changed_and_deletes_on_demand(shell: Shell, bucket: str, tmp_path: Path) -> None:
    source = tree(tmp_path, **{"kept.csv": "1", "changed.csv": "1", "gone.csv": "1"})
    target = f"s3://{bucket}/synced"
    assert shell.aws("s3", "sync", str(source), target, "--no-progress").text.count("upload:") == 3
    assert shell.aws("s3", "sync", str(source), target, "--no-progress").text == ""
    tree(source, **{"changed.csv": "longer"})
    (source / "gone.csv").unlink()
    said = shell.aws("s3", "sync", str(source), target, "--delete", "--no-progress").text
    assert [line.split()[0] for line in sorted(said.splitlines())] == ["delete:", "upload:"]
    assert keys(shell, bucket) == {"synced/kept.csv", "synced/changed.csv"}
    assert body(shell, bucket, "synced/changed.csv") == b"longer"


def test_sync_down_takes_what_is_included_and_deletes_the_rest(shell: Shell, bucket: str, tmp_path: Path) -> None:
    for key in ("t/a.csv", "t/deep/b.csv", "t/c.txt", "t/d.tmp"):
        shell.client("s3").put_object(Bucket=bucket, Key=key, Body=key.encode())
    target = tree(tmp_path / "down", **{"old.csv": "0", "own.txt": "0"})
    chosen = ["--exclude", "*", "--include", "*.csv", "--delete", "--no-progress"]
    said = shell.aws("s3", "sync", f"s3://{bucket}/t", str(target), *chosen).text
    assert sorted(line.split()[0] for line in said.splitlines()) == ["delete:", "download:", "download:"]
    assert contents(target) == {"a.csv": "t/a.csv", "deep/b.csv": "t/deep/b.csv", "own.txt": "0"}


def test_recursive_rm_and_mv_take_what_is_included(shell: Shell, bucket: str) -> None:
    for key in ("t/a.csv", "t/b.csv", "t/c.txt", "u/d.csv"):
        shell.client("s3").put_object(Bucket=bucket, Key=key, Body=b"1")
    shell.aws("s3", "rm", f"s3://{bucket}/t/", "--recursive", "--exclude", "*", "--include", "a.*")
    assert keys(shell, bucket) == {"t/b.csv", "t/c.txt", "u/d.csv"}
    shell.aws("s3", "mv", f"s3://{bucket}/t/", f"s3://{bucket}/moved/", "--recursive", "--exclude", "*.txt")
    assert keys(shell, bucket) == {"moved/b.csv", "t/c.txt", "u/d.csv"}


def test_a_pipe_of_more_than_one_part(shell: Shell, bucket: str) -> None:
    data = random.Random(6).randbytes(BIG)
    shell.aws("s3", "cp", "-", f"s3://{bucket}/piped", "--expected-size", str(BIG), stdin=data)
    assert shell.client("s3").head_object(Bucket=bucket, Key="piped")["ETag"].endswith('-3"')
    back = shell.aws("s3", "cp", f"s3://{bucket}/piped", "-").output
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()


def test_inside_kenja_run_the_same_commands_do_the_same(shell: Shell, bucket: str, tmp_path: Path) -> None:
    data = random.Random(5).randbytes(BIG)
    (tmp_path / "big.bin").write_bytes(data)
    tree(tmp_path / "up", **{"one.csv": "1", "deep__two.csv": "2", "left.tmp": "3"})
    script = f"""set -euo pipefail
aws s3 cp {tmp_path}/big.bin s3://{bucket}/big.bin --no-progress
aws s3 cp s3://{bucket}/big.bin - | sha256sum | cut -d' ' -f1
aws s3 sync {tmp_path}/up s3://{bucket}/up --exclude '*.tmp' --delete --no-progress >/dev/null
aws s3 mv s3://{bucket}/up/one.csv s3://{bucket}/moved.csv >/dev/null
curl -sS "$(aws s3 presign s3://{bucket}/moved.csv)"; echo
aws s3 ls s3://{bucket} --recursive | awk '{{print $4}}'
aws s3 rm s3://{bucket} --recursive --exclude big.bin >/dev/null
aws s3 rb s3://{bucket} --force >/dev/null
aws s3 mb s3://{bucket} >/dev/null
aws s3 ls s3://{bucket} --recursive"""
    done = shell.run_inside("bash", "-c", script)
    assert done.status == 0, done.errors
    told = done.text.split()
    assert hashlib.sha256(data).hexdigest() in told
    assert told[-4:] == ["1", "big.bin", "moved.csv", "up/deep/two.csv"]


def test_mv_and_a_presigned_address(shell: Shell, bucket: str) -> None:
    shell.client("s3").put_object(Bucket=bucket, Key="before", Body=b"moved")
    shell.aws("s3", "mv", f"s3://{bucket}/before", f"s3://{bucket}/after/wards")
    assert keys(shell, bucket) == {"after/wards"}
    address = shell.aws("s3", "presign", f"s3://{bucket}/after/wards", "--expires-in", "60").text.strip()
    with urllib.request.urlopen(address) as answer:
        assert answer.read() == b"moved"


def test_rb_wants_an_empty_bucket_or_force(shell: Shell, bucket: str) -> None:
    shell.client("s3").put_object(Bucket=bucket, Key="k", Body=b"1")
    status, told = shell.refused("s3", "rb", f"s3://{bucket}")
    assert (status, "BucketNotEmpty" in told) == (1, True)
    assert keys(shell, bucket) == {"k"}
    shell.aws("s3", "rb", f"s3://{bucket}", "--force")
    assert bucket not in [entry["Name"] for entry in shell.client("s3").list_buckets()["Buckets"]]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["s3", "ls", "s3://no-such-bucket-here"], 255, "NoSuchBucket"),
        (["s3", "cp", "s3://{bucket}/absent", "x"], 1, 'Key "absent" does not exist'),
        (["s3", "cp", "-", "s3://no-such-bucket-here/k"], 1, "NoSuchBucket"),
        (["s3", "mb", "s3://No_Valid_Name"], 1, "InvalidBucketName"),
        (["s3api", "head-object", "--bucket", "{bucket}", "--key", "absent"], 255, "(404)"),
        (["s3api", "get-object", "--bucket", "{bucket}", "--key", "absent", "x"], 255, "NoSuchKey"),
    ],
)
def test_what_is_not_there_or_not_allowed_ends_with_an_error(
    shell: Shell, bucket: str, arguments: list[str], status: int, told: str
) -> None:
    ended, errors = shell.refused(*[word.format(bucket=bucket) for word in arguments])
    assert told in errors
    assert ended == status
    assert not (shell.work / "x").exists()


def test_ls_of_an_empty_prefix_ends_with_1(shell: Shell, bucket: str) -> None:
    assert shell.refused("s3", "ls", f"s3://{bucket}/nothing/") == (1, "")
