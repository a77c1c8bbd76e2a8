"""Kenja, the platform: the AWS machine-learning APIs, answered by real work on this machine."""

from __future__ import annotations

__version__ = "0.2.0"
