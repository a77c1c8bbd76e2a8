"""Alembic's entry point for the metric series."""

from kenja.kernel.migrating import run

run()
