"""Amazon CloudWatch: metrics so far. What is not declared here (alarms, dashboards …) answers level 0."""

from __future__ import annotations

from kenja.services.cloudwatch import data, metrics, statistics
from kenja.services.cloudwatch.service import service

__all__ = ["data", "metrics", "service", "statistics"]
