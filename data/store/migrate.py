"""Brings the schema `market` to the newest revision; the revision table lies in it too.

Everything happens in one transaction under an advisory lock, so two processes that open a new database at once both
find it whole, and a migration that fails leaves nothing.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from data.model.errors import StoreUnavailable
from data.store.faults import shown

SCHEMA = "market"
OLDEST = 140000
LOCK = 0x6D61726B6574  # "market"


def migrate(engine: Engine) -> None:
    """Raises StoreUnavailable for a server that is too old, has another encoding, or was migrated by newer code."""
    with engine.begin() as connection:
        _require_server(connection)
        prepare(connection)
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StoreUnavailable(
                f"the database {shown(engine.url)} is not of this version: {error}; update aGENtrader"
            ) from None


def prepare(connection: Connection) -> None:
    """Waits for other migrations to end, and makes the schema that the revision table goes into."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    if connection.execute(text("SELECT to_regnamespace('market')")).scalar_one() is None:
        connection.execute(text("CREATE SCHEMA market"))


def _require_server(connection: Connection) -> None:
    version, encoding = connection.execute(
        text("SELECT current_setting('server_version_num')::int, current_setting('server_encoding')")
    ).one()
    where = shown(connection.engine.url)
    if version < OLDEST:
        raise StoreUnavailable(f"the database {where} is PostgreSQL {version // 10000}; 14 or newer is needed")
    if encoding != "UTF8":
        raise StoreUnavailable(f"the database {where} is in {encoding}; make one with ENCODING 'UTF8'")
