"""Amazon SageMaker Runtime: InvokeEndpoint, whole or as a stream. Over HTTP the gateway's fast path answers it with the same semantics."""

from __future__ import annotations

from kenja.services.sagemaker_runtime import invoke, stream
from kenja.services.sagemaker_runtime.service import service

__all__ = ["invoke", "service", "stream"]
