"""Amazon SageMaker AI: training and real-time hosting so far. What is not declared here answers level 0."""

from __future__ import annotations

from kenja.services.sagemaker import hosting, training
from kenja.services.sagemaker.service import service

__all__ = ["hosting", "service", "training"]
