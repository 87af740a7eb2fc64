"""Rows into a temporary table by COPY: ten times faster than INSERT, and set-based SQL takes it from there."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import chain, islice

import psycopg2
from sqlalchemy import Connection

from data.model.errors import DataError
from data.model.instants import require_utc
from data.store.faults import mendable

CHUNK = 20_000
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

Value = str | int | Decimal | date | None | Sequence[str]


def copy_rows(connection: Connection, table: str, rows: Iterable[Sequence[Value]]) -> int:
    """Streams the rows, in the order of the table's columns; returns how many. Raises DataError for what it refuses."""
    driver = connection.connection.driver_connection
    assert driver is not None
    left, count = iter(rows), 0
    with driver.cursor() as cursor:
        for first in left:
            chunk = list(chain((first,), islice(left, CHUNK - 1)))
            try:
                cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO("".join(map(_line, chunk))))
            except psycopg2.Error as error:
                raise mendable(error, connection.engine.url) or error from None
            count += len(chunk)
    return count


def _line(row: Sequence[Value]) -> str:
    return "\t".join(map(_cell, row)) + "\n"


def _cell(value: Value) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return "\\N"
    if isinstance(value, datetime):
        return require_utc(value).isoformat()
    if isinstance(value, tuple | list):
        items = (item.replace("\\", "\\\\").replace('"', '\\"') for item in value)
        return _text("{" + ",".join(f'"{item}"' for item in items) + "}")
    return str(value)


def _text(value: str) -> str:
    if "\0" in value:
        raise DataError(f"a NUL character in {value[:60]!r}; nothing was stored")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(f"half a character in {value[:60]!r}; nothing was stored") from None
    return value.translate(_ESCAPES)
