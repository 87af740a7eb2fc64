"""Opens the database: a server by its URL, or the embedded one, always migrated to what this code expects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from data.model.errors import UsageError
from data.store.embedded import embedded_server
from data.store.faults import shown, translate_errors
from data.store.migrate import migrate

# Nothing in the store holds a connection while it waits for something else, so threads share a few: they wait for each
# other's statements, the longest of which is an ingest.
CONNECTIONS = 16
PATIENCE = 600
OURS = ("postgresql", "postgres", "postgresql+psycopg2", "postgresql+psycopg")


@dataclass(frozen=True)
class Database:
    """An open database; `url_shown` is its address without user and password."""

    engine: Engine
    url_shown: str


@contextmanager
def open_database(url: str | None, state_dir: Path) -> Iterator[Database]:
    """A migrated database: the server at `url` or, without one, the embedded server of `state_dir`.

    Raises UsageError for a URL that is none, StoreUnavailable for a server that cannot be used; both say what to do.
    """
    with connect(url, state_dir) as database:
        migrate(database.engine)
        yield database


@contextmanager
def connect(url: str | None, state_dir: Path) -> Iterator[Database]:
    """The same without migrating."""
    with ExitStack() as stack:
        target = read_url(url) if url else stack.enter_context(embedded_server(state_dir))
        defaults = {"client_encoding": "utf8", "connect_timeout": 10, "application_name": "agentrader"}
        engine = create_engine(
            target.set(drivername="postgresql+psycopg2"),
            pool_pre_ping=True,
            pool_size=CONNECTIONS // 2,
            max_overflow=CONNECTIONS - CONNECTIONS // 2,
            pool_timeout=PATIENCE,
            connect_args={name: value for name, value in defaults.items() if name not in target.query},
        )
        stack.callback(engine.dispose)
        translate_errors(engine)
        yield Database(engine, shown(target))


def read_url(text: str) -> URL:
    """`postgresql://user:password@host:port/database?sslmode=require`, with any of libpq's parameters.

    Raises UsageError that repeats nothing of the text: a part of a password may be anywhere in it.
    """
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        url = None
    if url is not None and url.drivername not in OURS:
        raise UsageError(f"DATABASE_URL is of {url.drivername.split('+')[0]!r}; only postgresql:// works here")
    if url is None or "@" in f"{url.host}{url.database}":
        raise UsageError(
            "DATABASE_URL cannot be read; write postgresql://user:password@host:5432/database, "
            "and an @ in the password as %40"
        )
    return url
