"""AWS Security Token Service: who am I, and temporary keys."""

from __future__ import annotations

from kenja.services.sts import sessions
from kenja.services.sts.service import service

__all__ = ["service", "sessions"]
