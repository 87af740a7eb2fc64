"""Bars, as SQL over sets. Version 1 of a bar is what was printed first; a correction is a later version of it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

from sqlalchemy import Connection, Engine, text

from data.model.errors import DataError
from data.model.instants import Interval, show
from data.model.market import Bar
from data.store.batches import MANY, Batch, Counts, Window, begin_batch
from data.store.copying import Value, copy_rows

STREAM = 5_000

_INCOMING = text("""
    CREATE TEMPORARY TABLE incoming_bars (
        symbol text COLLATE "C", "interval" text COLLATE "C",
        open_time timestamptz, known_at timestamptz, session_on date,
        open numeric, high numeric, low numeric, close numeric, volume numeric, flags text[]
    ) ON COMMIT DROP
""")
_CONFLICT = text("""
    SELECT symbol, open_time FROM incoming_bars GROUP BY symbol, "interval", open_time
    HAVING count(DISTINCT (open, high, low, close, volume)) > 1 ORDER BY symbol, open_time LIMIT 1
""")
# A correction is known from its ingest on, and never before what it corrects.
_STORE = text("""
    WITH stored AS (
        INSERT INTO market.bars (symbol, "interval", open_time, version, known_at, session_on,
                                 open, high, low, close, volume, flags, synthetic, batch_id)
        SELECT DISTINCT ON (i.symbol, i."interval", i.open_time)
               i.symbol, i."interval", i.open_time, coalesce(latest.version, 0) + 1,
               CASE WHEN latest.version IS NULL THEN i.known_at ELSE greatest(:ingested_at, latest.known_at) END,
               i.session_on, i.open, i.high, i.low, i.close, i.volume, i.flags, :synthetic, :batch_id
        FROM incoming_bars i LEFT JOIN LATERAL (
            SELECT * FROM market.bars b
            WHERE b.symbol = i.symbol AND b."interval" = i."interval" AND b.open_time = i.open_time
            ORDER BY b.version DESC LIMIT 1
        ) latest ON true
        WHERE (latest.open, latest.high, latest.low, latest.close, latest.volume)
              IS DISTINCT FROM (i.open, i.high, i.low, i.close, i.volume)
        ORDER BY i.symbol, i."interval", i.open_time
        RETURNING version
    )
    SELECT count(*) FILTER (WHERE version = 1), count(*) FILTER (WHERE version > 1) FROM stored
""")
# `open_time < :as_of` follows from `known_at <= :as_of`, and lets the index begin there.
_AS_OF = """
    SELECT DISTINCT ON (open_time)
           open_time, known_at, open, high, low, close, volume, session_on, flags
    FROM market.bars
    WHERE symbol = %s AND "interval" = %s AND open_time < %s AND known_at <= %s
    ORDER BY open_time DESC, version DESC LIMIT %s
"""
# A session's bars open at most a day from its date, whatever the exchange's zone.
_FIRST = """
    FROM market.bars
    WHERE symbol = :symbol AND "interval" = :interval AND version = 1 AND session_on BETWEEN :start_on AND :end_on
      AND open_time BETWEEN CAST(:start_on AS date) - interval '2 days' AND CAST(:end_on AS date) + interval '3 days'
"""
_FIRST_BARS = text(f"""
    SELECT open_time, known_at, open, high, low, close, volume, session_on, flags {_FIRST} ORDER BY open_time
""")
_SESSIONS = text(f"SELECT session_on, count(*) {_FIRST} GROUP BY session_on ORDER BY session_on")
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


def add_bars(engine: Engine, batch: Batch, bars: Iterable[Bar]) -> Counts:
    with engine.connect() as connection, connection.begin() as transaction:
        connection.execute(_INCOMING)
        read = copy_rows(connection, "incoming_bars", map(_row, bars))
        if conflict := connection.execute(_CONFLICT).first():
            symbol, opened = conflict
            raise DataError(f"two different bars of {symbol} for {show(opened)} in one batch; nothing was stored")
        stamp = begin_batch(connection, batch)
        new, corrected = connection.execute(_STORE, stamp).one()
        if not new + corrected:
            transaction.rollback()  # nothing new leaves nothing, not even a batch
        elif new + corrected >= MANY:
            connection.exec_driver_sql("ANALYZE market.bars")
    return Counts(read, new, corrected)


def bars_as_of(connection: Connection, symbol: str, interval: Interval, as_of: datetime, limit: int) -> tuple[Bar, ...]:
    rows = connection.exec_driver_sql(_AS_OF, (symbol, interval.value, as_of, as_of, limit)).all()
    return tuple(_bar(symbol, interval, row) for row in reversed(rows))


def is_adjusted(connection: Connection, bars: tuple[Bar, ...], as_of: datetime) -> bool:
    first, last = bars[0], bars[-1]
    span = (first.symbol, first.interval.value, first.open_time, last.open_time, as_of)
    return bool(connection.exec_driver_sql(_IS_ADJUSTED, span).scalar_one())


def first_bars(
    engine: Engine, symbol: str, interval: Interval, start_on: date, end_on: date
) -> Generator[Bar, None, None]:
    span = {"symbol": symbol, "interval": interval.value, "start_on": start_on, "end_on": end_on}
    with engine.connect() as connection:
        for row in connection.execution_options(yield_per=STREAM).execute(_FIRST_BARS, span):
            yield _bar(symbol, interval, row)


def session_counts(
    connection: Connection, symbol: str, interval: Interval, start_on: date, end_on: date
) -> Mapping[date, int]:
    span = {"symbol": symbol, "interval": interval.value, "start_on": start_on, "end_on": end_on}
    return {row[0]: row[1] for row in connection.execute(_SESSIONS, span)}


def windows(connection: Connection, symbol: str | None) -> tuple[Window, ...]:
    rows = connection.execute(_WINDOWS, {"symbol": symbol})
    return tuple(Window(row[0], Interval(row[1]), row[2], row[3], row[4]) for row in rows)


def adjustments(connection: Connection, symbols: Iterable[str], interval: Interval) -> Mapping[str, str]:
    found = dict.fromkeys(symbols, "none")
    for symbol, text_ in connection.execute(_ADJUSTMENTS, {"symbols": list(found), "interval": interval.value}):
        found[symbol] = text_ if found[symbol] == "none" else f"{found[symbol]}; {text_}"
    return found


def _row(bar: Bar) -> tuple[Value, ...]:
    return (
        bar.symbol,
        bar.interval.value,
        bar.open_time,
        bar.known_at,
        bar.session_on,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.flags,
    )


def _bar(symbol: str, interval: Interval, row: _Row) -> Bar:
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
