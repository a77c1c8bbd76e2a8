"""Alembic scripts of the metric series; a released revision never changes."""
