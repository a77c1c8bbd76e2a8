"""Real-time hosting: models, endpoint configurations, endpoints, and the host that stages and starts their replicas."""

from __future__ import annotations

from kenja.services.sagemaker.hosting import endpoint_configs, endpoints, models

__all__ = ["endpoint_configs", "endpoints", "models"]
