"""What Alembic runs around the steps: inside the store's transaction, or by `alembic …` from the project's root.

From the command line it migrates the server of DATABASE_URL or, without one, the embedded database.
"""

from __future__ import annotations

import os
from pathlib import Path

from alembic import context
from sqlalchemy import Connection

from data.store.database import connect
from data.store.migrate import SCHEMA, prepare


def run(connection: Connection) -> None:
    context.configure(connection=connection, version_table_schema=SCHEMA)
    with context.begin_transaction():
        context.run_migrations()


def run_from_command_line() -> None:
    root = Path(__file__).parents[3]
    url = os.environ.get("DATABASE_URL")
    with connect(url, root / "data" / "postgres") as database, database.engine.begin() as connection:
        prepare(connection)
        run(connection)


if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    run_from_command_line()
