"""Alembic scripts of the log index; a released revision never changes."""
