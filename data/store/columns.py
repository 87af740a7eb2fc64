"""A series as columns of numbers, for arithmetic over many bars at once.

The server sends its binary COPY format, in which a row of numbers has one width: numpy reads it as it arrives, without
an object for each bar. Prices are the float64 nearest to what is stored; money goes by `Bar`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import psycopg2
from numpy.typing import NDArray
from psycopg2.errors import NumericValueOutOfRange
from sqlalchemy import Engine

from data.model.errors import DataError
from data.model.instants import Interval
from data.store.bars import FIRST, span
from data.store.faults import mendable

# Rows that are read at once: what lies in memory besides the columns.
ROWS = 8_192
_INSTANTS, _PRICES = ("open_time", "known_at"), ("open", "high", "low", "close", "volume")
_NAMES = (*_INSTANTS, *_PRICES)
_COPY = f"""
    COPY (
        SELECT open_time, known_at, open::float8, high::float8, low::float8, close::float8, volume::float8
        {FIRST} ORDER BY open_time
    ) TO STDOUT (FORMAT binary)
"""
# A row is its number of fields, then of each field its length and its value, all big-endian. Instants are microseconds
# since 2000. Source: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS-BINARY
_HEADER = 19
_CELLS = [(name, ">i8" if name in _INSTANTS else ">f8") for name in _NAMES]
_ROW = np.dtype([("fields", ">i2")] + [cell for each in _CELLS for cell in ((f"{each[0]} length", ">i4"), each)])
_ORIGIN = int(np.datetime64("2000-01-01", "us").astype(np.int64))


@dataclass(frozen=True, eq=False, slots=True)
class BarColumns:
    """Bars of one series, oldest first: arrays of one length. Instants in UTC as datetime64[us], the rest float64."""

    open_time: NDArray[np.datetime64]
    known_at: NDArray[np.datetime64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.open_time)


def first_columns(engine: Engine, symbol: str, interval: Interval, start_on: date, end_on: date) -> BarColumns:
    rows = _Rows()
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        with driver.cursor() as cursor, io.BufferedWriter(rows, ROWS * _ROW.itemsize) as writer:
            statement = cursor.mogrify(_COPY, span(symbol, interval, start_on, end_on))
            try:
                cursor.copy_expert(statement, writer)
            except NumericValueOutOfRange:
                raise DataError(f"a {interval} bar of {symbol} has a number that float64 cannot hold") from None
            except psycopg2.Error as error:
                raise mendable(error, engine.url) or error from None
    return rows.columns()


class _Rows(io.RawIOBase):
    """Takes the bytes of a binary COPY, in pieces of any length, and keeps the columns in them."""

    def __init__(self) -> None:
        self._left = b""
        self._skip = _HEADER
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _NAMES}

    def writable(self) -> bool:
        return True

    def write(self, piece: Any, /) -> int:
        data = self._left + bytes(piece)
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        whole = (len(data) - skipped) // _ROW.itemsize
        rows = np.frombuffer(data, _ROW, whole, skipped) if whole else np.empty(0, _ROW)
        for name in _NAMES:
            self._parts[name].append(_native(name, rows[name]))
        self._left = data[skipped + whole * _ROW.itemsize :]
        return len(piece)

    def columns(self) -> BarColumns:
        """All that was written. Raises ValueError if it does not end as a COPY ends."""
        if self._left != b"\xff\xff":
            raise ValueError(f"a binary COPY ends in {self._left[:20]!r}")
        return BarColumns(**{name: np.concatenate(self._parts.pop(name)) for name in _NAMES})


def _native(name: str, cells: NDArray[Any]) -> NDArray[Any]:
    if name in _INSTANTS:
        return (cells.astype(np.int64) + _ORIGIN).view("datetime64[us]")
    return cells.astype(np.float64)
