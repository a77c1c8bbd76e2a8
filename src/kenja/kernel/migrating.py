"""What each `migrations/env.py` runs: alembic on the connection that `Database` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context


def run() -> None:
    """Apply the scripts of the current alembic environment; called by alembic, never by us."""
    attributes = context.config.attributes
    context.configure(connection=attributes["connection"], version_table=attributes["table"], transactional_ddl=False)
    context.run_migrations()
