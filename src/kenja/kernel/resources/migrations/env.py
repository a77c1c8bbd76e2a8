"""Alembic's entry point for the resource store."""

from kenja.kernel.migrating import run

run()
