"""Real-time hosting: models, endpoint configurations, endpoints, and the host that stages and starts their replicas."""

from __future__ import annotations

from kenja.services.sagemaker.hosting import endpoint_configs, endpoints, models, updates

__all__ = ["endpoint_configs", "endpoints", "models", "updates"]
