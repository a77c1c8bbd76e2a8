"""Which runtime stands in for which image URI, and what is said about the difference."""

from __future__ import annotations

import time

import pytest

from kenja.runtimes import resolve, runtime, why_unknown

ECR = "683313688378.dkr.ecr.us-east-1.amazonaws.com"
XGBOOST_VERSIONS = ("0.90-1", "0.90-2", "1.0-1", "1.2-1", "1.2-2", "1.3-1", "1.5-1", "1.7-1", "3.0-5")
SCIKIT_LEARN_VERSIONS = ("0.20.0", "0.23-1", "1.0-1", "1.2-1", "1.4-2")


@pytest.mark.parametrize("suffix", ["", "-cpu-py3", "-cpu", "-gpu-py3"])
@pytest.mark.parametrize("version", XGBOOST_VERSIONS)
def test_every_xgboost_release_is_served_as_algorithm_and_for_scripts(version: str, suffix: str) -> None:
    match = resolve(f"{ECR}/sagemaker-xgboost:{version}{suffix}")
    assert match is not None
    assert (match.runtime.name, match.algorithm, match.script) == ("tabular", "xgboost", True)
    assert match.requested_version == version


@pytest.mark.parametrize("suffix", ["", "-cpu-py3", "-cpu"])
@pytest.mark.parametrize("version", SCIKIT_LEARN_VERSIONS)
def test_every_scikit_learn_release_is_served_for_scripts_only(version: str, suffix: str) -> None:
    match = resolve(f"{ECR}/sagemaker-scikit-learn:{version}{suffix}")
    assert match is not None
    assert (match.runtime.name, match.algorithm, match.script) == ("tabular", None, True)
    assert match.requested_version == version


@pytest.mark.parametrize("tag", [":1", ":latest", ""])
def test_the_old_xgboost_image_is_the_algorithm_only(tag: str) -> None:
    match = resolve(f"811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost{tag}")
    assert match is not None
    assert (match.algorithm, match.script) == ("xgboost", False)


@pytest.mark.parametrize(
    "registry",
    [
        "",
        "000000000000.dkr.ecr.us-east-1.amazonaws.com/",
        "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/",
        "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/",
        "451049120500.dkr.ecr.cn-northwest-1.amazonaws.com.cn/",
        "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov/",
        "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov/",
        "123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov/",
    ],
)
def test_account_region_and_partition_do_not_matter(registry: str) -> None:
    match = resolve(f"{registry}sagemaker-xgboost:1.7-1")
    assert match is not None
    assert match.requested_version == "1.7-1"


@pytest.mark.parametrize(
    "image",
    [
        "",
        ":",
        "@",
        "/",
        "python:3.11",
        f"{ECR}/sagemaker-xgboost:",
        f"{ECR}/sagemaker-xgboost:banana",
        f"{ECR}/sagemaker-xgboost:1.7-1; rm -rf /",
        f"{ECR}/sagemaker-xgboost:1.7-1\n",
        f"{ECR}/SageMaker-XGBoost:1.7-1",
        f"{ECR}/team/sagemaker-xgboost:1.7-1",
        f"{ECR}/sagemaker-xgboost:1.7-1@sha256:abc",
        f"{ECR}/sagemaker-xgboost:1.7-1@",
        f"{ECR}/xgboost:2",
        f"{ECR}/sagemaker-scikit-learn:1.2-1-gpu-py3",
        "ghcr.io/someone/sagemaker-xgboost:1.7-1",
        "12345.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
        "683313688378.dkr.ecr.us-east-1.amazonaws.com.evil.example/sagemaker-xgboost:1.7-1",
        "x683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
        "/sagemaker-xgboost:1.7-1",
    ],
)
def test_what_is_no_known_image_has_no_runtime(image: str) -> None:
    assert resolve(image) is None


def test_an_unknown_image_is_told_what_there_is() -> None:
    sentence = why_unknown("python:3.11")
    assert "python:3.11" in sentence
    for known in ("sagemaker-xgboost:1.7-1", "xgboost:1", "sagemaker-scikit-learn:1.2-1-cpu-py3"):
        assert known in sentence
        assert resolve(known) is not None


def test_the_note_names_the_release_that_really_runs() -> None:
    match = resolve(f"{ECR}/sagemaker-xgboost:1.7-1")
    assert match is not None
    text = " ".join(match.notes)
    assert runtime("tabular").pinned("xgboost-cpu") in text
    assert "1.7-1" in text


def test_gpu_tags_and_digests_are_noted() -> None:
    match = resolve(f"{ECR}/sagemaker-xgboost:1.3-1-gpu-py3@sha256:{'0' * 64}")
    assert match is not None
    text = " ".join(match.notes)
    assert "CPU" in text
    assert "digest" in text


def test_long_hostile_text_is_answered_at_once() -> None:
    started = time.monotonic()
    for image in ("1" * 100_000, "1.dkr.ecr." * 20_000 + "/xgboost:1", f"{ECR}/sagemaker-xgboost:" + "1." * 50_000):
        assert resolve(image) is None
    assert time.monotonic() - started < 1.0
