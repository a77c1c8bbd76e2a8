"""Smallest valid requests, generated from service models, and what only a person knows about some members. No test here."""

from __future__ import annotations

import re
from typing import Any

from botocore.model import OperationModel, Shape

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
MEANT = {  # members whose value means more than the model says
    "TrainingImage": IMAGE,
    "Image": IMAGE,
    "S3OutputPath": "s3://some-bucket/output",
    "S3Uri": "s3://some-bucket/input/",
    "ModelDataUrl": "s3://some-bucket/model.tar.gz",
    "InstanceType": "ml.m5.large",
    "InstanceCount": 1,
    "InitialInstanceCount": 1,
    "TrainingInputMode": "File",
    "MaxRuntimeInSeconds": 60,
    "Bucket": "some-bucket",
}
WANTED = {  # optional members that an operation refuses to do without
    "CreateTrainingJob": ("AlgorithmSpecification", "ResourceConfig", "HyperParameters"),
    "AlgorithmSpecification": ("TrainingImage",),
    "ResourceConfig": ("InstanceType", "InstanceCount", "VolumeSizeInGB"),
    "CreateModel": ("PrimaryContainer", "ExecutionRoleArn"),
    "ContainerDefinition": ("Image", "ModelDataUrl"),
    "ProductionVariant": ("ModelName", "InstanceType", "InitialInstanceCount"),
}


def smallest(operation: OperationModel, account: str, **given: Any) -> dict[str, Any]:
    """Required members only, with the values of `given` and MEANT where they name them."""
    shape = operation.input_shape
    if shape is None:
        return {}
    made: dict[str, Any] = _structure(
        shape, operation.name, {**MEANT, "RoleArn": _role(account), "ExecutionRoleArn": _role(account), **given}, 0
    )
    return made


def _role(account: str) -> str:
    return f"arn:aws:iam::{account}:role/KenjaExecutionRole"


def _structure(shape: Any, name: str, given: dict[str, Any], depth: int) -> dict[str, Any]:
    wanted = {*shape.required_members, *WANTED.get(name, ()), *WANTED.get(shape.name, ())}
    if getattr(shape, "is_tagged_union", False) and not wanted:
        wanted = {next(iter(shape.members))}
    return {
        member: given[member] if member in given else _value(shape.members[member], member, given, depth + 1)
        for member in shape.members
        if member in wanted
    }


def _value(shape: Shape, name: str, given: dict[str, Any], depth: int) -> Any:
    metadata = shape.metadata
    match shape.type_name:
        case "structure":
            return _structure(shape, name, given, depth) if depth < 8 else {}
        case "list":
            return [_value(shape.member, name, given, depth + 1) for _ in range(max(1, metadata.get("min", 1)))]
        case "map":
            return {}
        case "string":
            return _text(shape)
        case "integer" | "long":
            return max(1, metadata.get("min", 1))
        case "float" | "double":
            return float(max(0.5, metadata.get("min", 0.5)))
        case "boolean":
            return False
        case "timestamp":
            return 1_700_000_000
        case "blob":
            return b"x" * max(1, metadata.get("min", 1))
    raise AssertionError(shape.type_name)


def _text(shape: Any) -> str:
    if shape.enum:
        return str(shape.enum[0])
    least = shape.metadata.get("min", 1)
    pattern = shape.metadata.get("pattern")
    candidates = (
        "x" * max(least, 4),
        "1" * max(least, 12),
        "arn:aws:sagemaker:us-east-1:123456789012:thing/x" + "x" * 20,
        "arn:aws:iam::123456789012:role/xxxxx",
        "s3://bucket/key",
        "https://x.example/",
        "us-east-1",
        "a@b.co",
    )
    if pattern is None:
        return candidates[0]
    try:
        compiled = re.compile(pattern.replace(r"\p{L}", "a-z").replace(r"\p{Z}", " ").replace(r"\p{N}", "0-9"))
    except re.error:
        return candidates[0]
    return next((text for text in candidates if compiled.fullmatch(text)), candidates[0])
