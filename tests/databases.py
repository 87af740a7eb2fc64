"""Databases for tests: made for one process, dropped at its end, and never another process's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count

import psutil
import psycopg2
from sqlalchemy import Engine, make_url

_NUMBERS = count(1)
_TABLES = tuple(f"market.{name}" for name in ("tasks", "sweeps", "bars", "facts", "batches", "instruments", "runs"))
_SIZE = " + ".join(f"pg_relation_size('{table}')" for table in _TABLES)
_BLOATED = 4 << 20
"""Bytes from which on dead rows cost more than a TRUNCATE: nobody vacuums where a server has that switched off."""


@contextmanager
def fresh(server: str, encoding: str = "UTF8") -> Iterator[str]:
    """The URL of a new, empty database on this server. What killed tests left there goes too."""
    url = make_url(server)
    name = f"agentrader_test_{os.getpid()}_{next(_NUMBERS)}"
    for left in _left_behind(server):
        run(server, f"DROP DATABASE IF EXISTS {left} WITH (FORCE)")
    run(server, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        run(server, f"DROP DATABASE {name} WITH (FORCE)")


def empty(engine: Engine) -> None:
    """Takes every row out, past the triggers: as superuser, in a session that says so."""
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        if connection.exec_driver_sql(f"SELECT {_SIZE}").scalar_one() > _BLOATED:
            connection.exec_driver_sql(f"TRUNCATE {', '.join(_TABLES)}")
        for table in _TABLES:
            connection.exec_driver_sql(f"DELETE FROM {table}")


def _left_behind(server: str) -> list[str]:
    names = [row[0] for row in run(server, "SELECT datname FROM pg_database WHERE datname LIKE 'agentrader_test_%'")]
    pids = {name: int(re.sub(r"\D", " ", name).split()[0]) for name in names}
    return [name for name, pid in pids.items() if not psutil.pid_exists(pid)]


def run(server: str, statement: str) -> list[tuple[str]]:
    """One statement, as the URL's user, in no transaction."""
    plain = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
