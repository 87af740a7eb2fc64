"""What the database said, as one line that a user can act on: no password, no traceback."""

from __future__ import annotations

import re

import psycopg2
from psycopg2 import errors
from sqlalchemy import URL, Engine, event
from sqlalchemy.engine import ExceptionContext

from data.model.errors import AgentraderError, DataError, StoreUnavailable

OWNER_MENDS = "Its owner mends that with: "
"""What stands before the statement in a message."""
REFUSED_VALUES = (
    errors.CheckViolation,
    errors.NumericValueOutOfRange,
    errors.InvalidDatetimeFormat,
    errors.DatetimeFieldOverflow,
    errors.UntranslatableCharacter,
    errors.CharacterNotInRepertoire,
    errors.ProgramLimitExceeded,
)


def shown(url: URL) -> str:
    """The address without user, password and parameters."""
    host = url.host or url.query.get("host") or "the default host"
    return f"{host}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def translate_errors(engine: Engine) -> None:
    """From now on this engine raises AgentraderError for what a user can mend; anything else is a bug and stays."""

    @event.listens_for(engine, "handle_error")
    def _translate(context: ExceptionContext) -> AgentraderError | None:
        if context.is_pre_ping or not isinstance(context.original_exception, psycopg2.Error):
            return None
        return mendable(context.original_exception, engine.url)


def mendable(error: psycopg2.Error, url: URL) -> AgentraderError | None:
    """The error a user can mend that stands behind what psycopg2 raised."""
    text = _line(error)
    if isinstance(error, errors.InsufficientPrivilege):
        return StoreUnavailable(f"the database {shown(url)} refuses: {text}. {_mending(error, text, url)}")
    if isinstance(error, errors.LockNotAvailable):
        return StoreUnavailable(f"another process is at work in the database {shown(url)}; try again when it has ended")
    if isinstance(error, REFUSED_VALUES):
        return DataError(f"the database cannot hold a value: {text}; nothing was stored")
    is_lost = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError | errors.ReadOnlySqlTransaction)
    if is_lost or (isinstance(error, psycopg2.ProgrammingError) and error.pgcode is None):  # the driver refuses the URL
        return _unusable(text, url)
    return None


def _unusable(text: str, url: URL) -> StoreUnavailable:
    if url.host and text.startswith(("connection to server", "could not")):
        return StoreUnavailable(
            f"the database {shown(url)} cannot be used: {text}; see that it runs and that DATABASE_URL is right "
            "(without one the project starts its own)"
        )
    return StoreUnavailable(f"the database {shown(url)} cannot be used: {text}")


def _line(error: psycopg2.Error) -> str:
    lines = str(error).strip().splitlines()
    return re.sub(r"^(ERROR|FATAL):\s+", "", lines[0]) if lines else type(error).__name__


def _mending(error: psycopg2.Error, text: str, url: URL) -> str:
    info = error.cursor.connection.info if error.cursor is not None else None
    user = _quoted(info.user if info else url.username or "")
    database = _quoted(info.dbname if info else url.database or "")
    if "temporary" in text:
        return f"{OWNER_MENDS}GRANT TEMPORARY ON DATABASE {database} TO {user};"
    if "for database" in text:
        return f"{OWNER_MENDS}GRANT CREATE ON DATABASE {database} TO {user};"
    return _grant_tables(user)


def grant_tables(user: str) -> str:
    """What lets a user, by the name, read and add everything here."""
    return _grant_tables(_quoted(user))


def _grant_tables(user: str) -> str:
    return f"{OWNER_MENDS}GRANT ALL ON SCHEMA market TO {user}; GRANT ALL ON ALL TABLES IN SCHEMA market TO {user};"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
