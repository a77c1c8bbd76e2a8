"""The model server of a replica: framed requests in over a Unix socket, predictions out. No HTTP, no AWS requests."""

from __future__ import annotations
