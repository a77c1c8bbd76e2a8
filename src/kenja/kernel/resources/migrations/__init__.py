"""Alembic scripts of the resource store; a released revision never changes."""
