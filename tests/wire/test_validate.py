"""AWS's wording for what the model forbids."""

from __future__ import annotations

import itertools
import re
import time
from typing import Any

import pytest

from kenja.wire import load, patterns, summary, violations
from tests.wire import samples


def _found(service: str, operation: str, **params: Any) -> list[str]:
    return violations(load(service).operation_model(operation).input_shape, params)


TRAINING: dict[str, Any] = {
    "TrainingJobName": "job-1",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::123456789012:role/name-of-role",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def _training(**changes: Any) -> list[str]:
    return _found("sagemaker", "CreateTrainingJob", **{**TRAINING, **changes})


def test_valid_parameters_have_no_violations() -> None:
    assert _training() == []
    assert _found("sagemaker", "ListModels") == []
    assert violations(None, {}) == []


def test_a_missing_member_must_not_be_null() -> None:
    assert _training(RoleArn=None) == ["Value null at 'roleArn' failed to satisfy constraint: Member must not be null"]


def test_a_pattern_must_match_the_whole_value() -> None:
    pattern = load("sagemaker").shape_for("TrainingJobName").metadata["pattern"]
    for name in ("bad_name", "-a", "good\n", "é"):
        assert _training(TrainingJobName=name) == [
            f"Value '{name}' at 'trainingJobName' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {pattern}"
        ]


def test_lengths_and_ranges_are_told_with_their_path() -> None:
    resources = {**TRAINING["ResourceConfig"], "InstanceCount": -1}
    stopping = {"MaxRuntimeInSeconds": 0}
    found = _training(ResourceConfig=resources, StoppingCondition=stopping)
    assert found == [
        "Value '-1' at 'resourceConfig.instanceCount' failed to satisfy constraint: "
        "Member must have value greater than or equal to 0",
        "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1",
    ]
    assert summary(found).startswith(
        "2 validation errors detected: Value '-1' at 'resourceConfig.instanceCount' failed"
    )
    assert summary(found[:1]).startswith("1 validation error detected: Value '-1'")
    assert "Member must have length less than or equal to 63" in _training(TrainingJobName="a" * 64)[0]


def test_an_enum_lists_what_is_allowed() -> None:
    specification = {"TrainingImage": "image", "TrainingInputMode": "Tape"}
    (found,) = _training(AlgorithmSpecification=specification)
    assert found == (
        "Value 'Tape' at 'algorithmSpecification.trainingInputMode' failed to satisfy constraint: "
        "Member must satisfy enum value set: [Pipe, File, FastFile]"
    )


def test_members_of_lists_are_numbered() -> None:
    (found,) = _training(Tags=[{"Key": "a", "Value": "b"}, {"Key": "", "Value": "b"}])
    assert found == (
        "Value '' at 'tags.2.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1"
    )


def test_lists_of_scalars_and_maps_tell_all_rules_at_once() -> None:
    (found,) = _training(VpcConfig={"SecurityGroupIds": ["sg_1"], "Subnets": ["subnet-1"]})
    assert found == (
        "Value '[sg_1]' at 'vpcConfig.securityGroupIds' failed to satisfy constraint: Member must satisfy constraint: "
        "[Member must have length less than or equal to 32, Member must have length greater than or equal to 0, "
        "Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]"
    )
    (found,) = _training(HyperParameters={"k": "v" * 2501})
    assert found.startswith("Value '{k=vvv")
    assert "at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: [Member must" in found
    (found,) = _training(HyperParameters={"k" * 257: "v"})
    assert "Map keys must satisfy constraint: [Member must have length less than or equal to 256" in found


def test_size_of_a_list() -> None:
    (found,) = _training(InputDataConfig=[])
    assert found == (
        "Value '[]' at 'inputDataConfig' failed to satisfy constraint: Member must have length greater than or equal to 1"
    )


def test_values_of_another_type_are_violations_not_exceptions() -> None:
    for wrong in (7, "x", [1], {"a": 1}, True, 1.5, b"x", object()):
        for name in load("sagemaker").operation_model("CreateTrainingJob").input_shape.members:
            _training(**{name: wrong})
    assert _training(TrainingJobName=7) == [
        "Value '7' at 'trainingJobName' failed to satisfy constraint: Member must be text"
    ]
    assert "at 'tags' failed to satisfy constraint: Member must be a list" in _training(Tags="x")[0]
    assert "Member must not be null" in _training(Tags=[None])[0]
    assert "Member must be a boolean" in _training(EnableNetworkIsolation="yes")[0]


def test_a_union_has_exactly_one_member() -> None:
    model = load("sagemaker")
    unions = [name for name in model.shape_names if getattr(model.shape_for(name), "is_tagged_union", False)]
    shape = model.shape_for(unions[0])
    assert any("exactly one of" in text for text in violations(shape, {}))


def test_secrets_are_not_repeated() -> None:
    shape = next(
        shape
        for shape in map(load("iam").shape_for, load("iam").shape_names)
        if shape.type_name == "structure"
        and any(m.metadata.get("sensitive") and m.metadata.get("min") for m in shape.members.values())
    )
    name = next(key for key, member in shape.members.items() if member.metadata.get("sensitive"))
    params = {**samples.sample(shape), name: ""}
    text = next(text for text in violations(shape, params) if f"'{name[0].lower()}{name[1:]}'" in text)
    assert text.startswith("Value at '")


def test_nesting_without_end_is_a_violation() -> None:
    shape = load("sagemaker").shape_for("SearchExpression")
    deep: dict[str, Any] = {"Filters": [{"Name": "a"}]}
    for _ in range(5000):
        deep = {"SubExpressions": [deep]}
    assert violations(shape, deep) == [
        "Value at 'input' failed to satisfy constraint: Member must not be nested so deeply"
    ]


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", ["Größe 1", "賢者", "𝒜"], ["a;b", "a\tb"]),
        (r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,128}", ["a/b"], ["#"]),
        (r"\P{C}*", ["abc"], ["a\x07"]),
        (r"\A\S[\p{Print}]*\z", ["a b"], [" a", "a\n"]),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", ["a\t賢𝒜"], ["\x00", "\n"]),
        (r"[\w-_]*", ["a-_"], ["a b"]),
        (r"arn:[\p{Alnum}\-]+:x", ["arn:aws-cn:x"], ["arn::x"]),
        (r"(?<year>\d+)", ["2026"], ["٣"]),
        (r"[a[b]+", ["a[b"], ["c"]),
        (r"^\p{ASCII}+$", ["abc"], ["é"]),
        (r"[a-z&&[^b]]*", [], []),
        (r"(?i)abc", ["ABC"], ["x"]),
        (r"\d+(?=a)a", ["1a"], ["a"]),
    ],
)
def test_javas_expressions_mean_the_same(pattern: str, yes: list[str], no: list[str]) -> None:
    found = patterns.compiled(pattern)
    assert found is not None
    assert [text for text in yes if not found.fullmatch(text)] == []
    assert [text for text in no if found.fullmatch(text)] == []


SERVED = ["sagemaker", "sagemaker-runtime", "s3", "sts", "iam", "logs", "cloudwatch", "comprehend", "polly"]


@pytest.mark.parametrize("service", SERVED)
def test_no_pattern_takes_long_on_hostile_text(service: str) -> None:
    model = load(service)
    limits: dict[str, int] = {}
    for shape in map(model.shape_for, model.shape_names):
        if "pattern" in shape.metadata:
            pattern = shape.metadata["pattern"]
            limits[pattern] = max(limits.get(pattern, 0), shape.metadata.get("max", 4096))
    for pattern, limit in limits.items():
        found = patterns.compiled(pattern)
        assert found is not None
        for start in ("", "arn:aws:iam::123456789012:", "https://", "s3://"):
            for unit in ("a", "-", "0", "a-", "/", "a/", "a.", " "):
                text = (start + unit * 2048)[: min(limit, 2048)] + "\n"
                began = time.process_time()
                found.fullmatch(text)
                assert time.process_time() - began < 0.5, (pattern, text[:40])


def test_replaced_patterns_match_the_same_strings() -> None:
    tails = ["".join(part) for size in range(6) for part in itertools.product("a-/", repeat=size)]
    for original, linear in patterns._LINEAR.items():
        for text in [start + tail for start in ("", "https://") for tail in tails]:
            assert bool(re.fullmatch(original, text)) == bool(re.fullmatch(linear, text)), (original, text)


@pytest.mark.parametrize(
    "pattern", [r"\p{IsHan}", r"\p{Nope}", r"\p{", "(", r"\uZZZZ", "[", "\\", r"\e", "a{2,1}", "*"]
)
def test_what_cannot_be_translated_binds_nobody(pattern: str) -> None:
    assert patterns.compiled(pattern) is None


@pytest.mark.parametrize("service", SERVED)
def test_every_pattern_of_the_services_is_translated(service: str) -> None:
    model = load(service)
    found = {model.shape_for(name).metadata.get("pattern") for name in model.shape_names} - {None}
    assert [pattern for pattern in found if not isinstance(patterns.compiled(pattern), re.Pattern)] == []
