"""Bars as they were known. Version 1 of a bar is what was printed first; a correction is a later version of it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, text

from data.model.instants import Interval
from data.model.market import Bar
from data.store.batches import Window

PAGE = 5_000
DROPPED = "dropped"
"""The flag of a version that says: from now on there is no such bar."""

# `open_time < :as_of` follows from `known_at <= :as_of`, and lets the index begin there.
_AS_OF = """
    SELECT * FROM (
        SELECT DISTINCT ON (open_time)
               open_time, known_at, open, high, low, close, volume, session_on, flags
        FROM market.bars
        WHERE symbol = %s AND "interval" = %s AND open_time < %s AND known_at <= %s
        ORDER BY open_time DESC, version DESC
    ) last WHERE NOT 'dropped' = ANY(flags) ORDER BY open_time DESC LIMIT %s
"""
_SINCE = """
    SELECT DISTINCT ON (open_time)
           open_time, known_at, open, high, low, close, volume, session_on, flags
    FROM market.bars
    WHERE symbol = %s AND "interval" = %s AND open_time >= %s AND open_time < %s AND known_at > %s AND known_at <= %s
    ORDER BY open_time, version DESC
"""
# A session's bars open at most a day from its date, whatever the exchange's zone.
FIRST = """
    FROM market.bars
    WHERE symbol = %(symbol)s AND "interval" = %(interval)s AND version = 1
      AND session_on BETWEEN %(start_on)s AND %(end_on)s
      AND open_time BETWEEN %(start_on)s::date - interval '2 days' AND %(end_on)s::date + interval '3 days'
"""
_FIRST_BARS = f"""
    SELECT open_time, known_at, open, high, low, close, volume, session_on, flags {FIRST}
      AND open_time > %(after)s ORDER BY open_time LIMIT %(limit)s
"""
_SESSIONS = f"SELECT session_on, count(*) {FIRST} GROUP BY session_on ORDER BY session_on"
_WINDOWS = text("""
    SELECT symbol, "interval", min(session_on), max(session_on), count(*)
    FROM market.bars WHERE version = 1 AND (symbol = :symbol OR CAST(:symbol AS text) IS NULL)
    GROUP BY symbol, "interval" ORDER BY symbol, "interval"
""")
_ADJUSTMENTS = text("""
    SELECT DISTINCT symbol, adjustment FROM (
        SELECT DISTINCT symbol, batch_id FROM market.bars
        WHERE symbol = ANY(:symbols) AND "interval" = :interval AND version = 1
    ) held JOIN market.batches USING (batch_id) WHERE adjustment <> 'none' ORDER BY symbol, adjustment
""")
_IS_ADJUSTED = """
    SELECT EXISTS (
        SELECT FROM market.bars JOIN market.batches USING (batch_id)
        WHERE symbol = %s AND "interval" = %s AND open_time BETWEEN %s AND %s AND known_at <= %s
          AND adjustment <> 'none'
    )
"""

_Row = tuple[datetime, datetime, Decimal, Decimal, Decimal, Decimal, Decimal, date, list[str]]


def bars_as_of(connection: Connection, symbol: str, interval: Interval, as_of: datetime, limit: int) -> tuple[Bar, ...]:
    rows = connection.exec_driver_sql(_AS_OF, (symbol, interval.value, as_of, as_of, limit)).all()
    return tuple(bar_of(symbol, interval, row) for row in reversed(rows))


def bars_since(
    connection: Connection, symbol: str, interval: Interval, since: datetime, as_of: datetime, first: datetime
) -> tuple[Bar, ...]:
    asked = (symbol, interval.value, first, as_of, since, as_of)
    return tuple(bar_of(symbol, interval, row) for row in connection.exec_driver_sql(_SINCE, asked))


def is_adjusted(connection: Connection, bars: tuple[Bar, ...], as_of: datetime) -> bool:
    first, last = bars[0], bars[-1]
    asked = (first.symbol, first.interval.value, first.open_time, last.open_time, as_of)
    return bool(connection.exec_driver_sql(_IS_ADJUSTED, asked).scalar_one())


def first_bars(
    engine: Engine, symbol: str, interval: Interval, start_on: date, end_on: date
) -> Generator[Bar, None, None]:
    """A page at a time: between pages, which may be hours, no connection is held and no transaction is open."""
    after = datetime.min.replace(tzinfo=UTC)
    rows: Sequence[Any] = range(PAGE)
    while len(rows) == PAGE:
        asked = {**span(symbol, interval, start_on, end_on), "after": after, "limit": PAGE}
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(_FIRST_BARS, asked).all()
        for row in rows:
            yield bar_of(symbol, interval, row)
            after = row[0]


def session_counts(
    connection: Connection, symbol: str, interval: Interval, start_on: date, end_on: date
) -> Mapping[date, int]:
    rows = connection.exec_driver_sql(_SESSIONS, span(symbol, interval, start_on, end_on))
    return {row[0]: row[1] for row in rows}


def span(symbol: str, interval: Interval, start_on: date, end_on: date) -> dict[str, str | date]:
    """What `FIRST` asks for."""
    return {"symbol": symbol, "interval": interval.value, "start_on": start_on, "end_on": end_on}


def windows(connection: Connection, symbol: str | None) -> tuple[Window, ...]:
    rows = connection.execute(_WINDOWS, {"symbol": symbol})
    return tuple(Window(row[0], Interval(row[1]), row[2], row[3], row[4]) for row in rows)


def adjustments(connection: Connection, symbols: Iterable[str], interval: Interval) -> Mapping[str, str]:
    found = dict.fromkeys(symbols, "none")
    for symbol, text_ in connection.execute(_ADJUSTMENTS, {"symbols": list(found), "interval": interval.value}):
        found[symbol] = text_ if found[symbol] == "none" else f"{found[symbol]}; {text_}"
    return found


def bar_of(symbol: str, interval: Interval, row: _Row) -> Bar:
    opened, known_at, open_, high, low, close, volume, session_on, flags = row
    return Bar(
        symbol,
        interval,
        opened.astimezone(UTC),
        known_at.astimezone(UTC),
        open_,
        high,
        low,
        close,
        volume,
        session_on,
        tuple(flags),
    )
