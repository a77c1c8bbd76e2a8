"""Amazon CloudWatch Logs: reading log groups and streams so far. What is not declared here answers level 0."""

from __future__ import annotations

from kenja.services.logs import events, groups, streams
from kenja.services.logs.service import service

__all__ = ["events", "groups", "service", "streams"]
