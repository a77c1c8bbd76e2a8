"""Alembic's entry point for the log index."""

from kenja.kernel.migrating import run

run()
