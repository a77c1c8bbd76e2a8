"""What EventBridge is told when an endpoint changes its state; SageMaker developer guide, "Events from SageMaker"."""

from __future__ import annotations

import re
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.resources.store import Record
from kenja.services.sagemaker.hosting import deployment

_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def announce(context: Context, record: Record) -> None:
    """Append the event; part of the transaction that writes the state."""
    running = deployment.current(record)
    detail: dict[str, Any] = {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "EndpointConfigName": running.config,
        "ProductionVariants": [
            {"VariantName": variant.name, "DesiredWeight": variant.weight, "DesiredInstanceCount": variant.count}
            for variant in running.variants
        ],
        "EndpointStatus": _WORD.sub("_", str(record.status)).upper(),
        "CreationTime": int(record.created * 1000),
        "LastModifiedTime": int(record.modified * 1000),
        "Tags": context.kernel.store.tags(record.arn),
    }
    if reason := record.body.get("FailureReason"):
        detail["FailureReason"] = reason
    context.kernel.outbox.append(record.scope, "aws.sagemaker", "SageMaker Endpoint State Change", [record.arn], detail)
