"""Training jobs: the resource, what Create refuses, and the driver that stages, watches and collects them."""

from __future__ import annotations

from kenja.services.sagemaker.training import jobs

__all__ = ["jobs"]
