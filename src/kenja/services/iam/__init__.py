"""AWS Identity and Access Management: roles, their policies, and the simulator. Global: regions do not matter here."""

from __future__ import annotations

from kenja.services.iam import role_policies, roles, simulation
from kenja.services.iam.service import service

__all__ = ["role_policies", "roles", "service", "simulation"]
