"""Brings the schema `market` to the newest revision; the revision table lies in it too.

Everything happens in one transaction under an advisory lock, so two processes that open a new database at once both
find it whole, and a migration that fails leaves nothing.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, text

from data.model.errors import StoreUnavailable
from data.store.faults import shown

SCHEMA = "market"
NEWEST = "m0003"
"""Alembic itself is asked only where a database is at another revision than this."""
OLDEST = 140000
PATIENCE = "60s"
LOCK = 0x6D61726B6574  # "market"


def migrate(engine: Engine) -> None:
    """Raises StoreUnavailable for a server that is too old, has another encoding, or was migrated by newer code."""
    with engine.begin() as connection:
        _require_server(connection)
        if _revision(connection) != NEWEST:
            _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    """None for a database without our tables."""
    if connection.execute(text("SELECT to_regclass('market.alembic_version')")).scalar_one() is None:
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM market.alembic_version")).scalar()
    return found


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 (9 MB, for what happens once)
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    prepare(connection)
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        where = shown(connection.engine.url)
        raise StoreUnavailable(f"the database {where} is not of this version: {error}; update aGENtrader") from None


def prepare(connection: Connection) -> None:
    """Waits for other migrations to end, but not for long, and makes the schema that the revision table goes into."""
    connection.execute(text("SELECT set_config('lock_timeout', :patience, true)"), {"patience": PATIENCE})
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
