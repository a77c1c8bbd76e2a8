"""Alembic scripts of the resource store; a released revision never changes."""

HEAD = "0002"
