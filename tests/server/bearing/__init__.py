"""A service of the tests whose model (Amazon Bedrock's) takes bearer tokens: it tells who calls, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kenja.kernel.context import Context
from kenja.kernel.declare import Service

service = Service(str(Path(__file__)))


@service.operation("ListTagsForResource")
def list_tags_for_resource(context: Context, _request: dict[str, Any]) -> dict[str, Any]:
    """The caller and its region, as tags."""
    return {"tags": [{"key": "caller", "value": context.principal.arn}, {"key": "region", "value": context.region}]}
