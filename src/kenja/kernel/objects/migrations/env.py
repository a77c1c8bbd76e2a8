"""Alembic's entry point for the object index."""

from kenja.kernel.migrating import run

run()
