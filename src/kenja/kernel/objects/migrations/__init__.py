"""Alembic scripts of the object index; a released revision never changes."""
