"""What is in the database as of an instant: batches with their rows, series, and their bars."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, text

from data.model.instants import Interval
from data.model.market import Bar
from data.store.bars import DROPPED, PAGE, bar_of, span

# All versions known then, in the order of the index: of each bar the last one counts. To let the server choose it would
# have it sort the whole series for every page. A session's bars open at most a day from its date, whatever the zone.
_KNOWN = """
    SELECT open_time, known_at, open, high, low, close, volume, session_on, flags, version FROM market.bars
    WHERE symbol = %(symbol)s AND "interval" = %(interval)s AND known_at <= %(as_of)s
      AND session_on BETWEEN %(start_on)s AND %(end_on)s AND (open_time, version) > (%(after)s, %(version)s)
      AND open_time BETWEEN %(start_on)s::date - interval '2 days' AND %(end_on)s::date + interval '3 days'
    ORDER BY open_time, version LIMIT %(limit)s
"""
_SERIES = text("""
    SELECT symbol, "interval", min(session_on), max(session_on), count(*), bool_or(synthetic) FROM (
        SELECT DISTINCT ON (symbol, "interval", open_time) * FROM market.bars
        WHERE known_at <= :as_of AND (symbol = :symbol OR CAST(:symbol AS text) IS NULL)
        ORDER BY symbol, "interval", open_time, version DESC
    ) last WHERE NOT 'dropped' = ANY(flags) GROUP BY symbol, "interval" ORDER BY symbol, "interval"
""")
_BATCHES = text("""
    SELECT batch_id, source, digest, ingested_at, synthetic, adjustment, coalesce(b.rows, 0), coalesce(f.rows, 0),
           coalesce(b.symbols, '{}') || coalesce(f.symbols, '{}'), (
               SELECT min(later.ingested_at) FROM market.batches later
               WHERE later.details->>'drops' = batches.batch_id::text
           )
    FROM market.batches
    LEFT JOIN (SELECT batch_id, count(*) AS rows, array_agg(DISTINCT symbol::text) AS symbols
               FROM market.bars GROUP BY batch_id) b USING (batch_id)
    LEFT JOIN (SELECT batch_id, count(*) AS rows, array_agg(DISTINCT symbol::text) AS symbols
               FROM market.facts GROUP BY batch_id) f USING (batch_id)
    ORDER BY batch_id
""")
_GONE = """
    SELECT count(*) FROM market.bars b
    WHERE symbol = %(symbol)s AND "interval" = %(interval)s AND version > 1 AND 'dropped' = ANY(flags)
      AND session_on BETWEEN %(start_on)s AND %(end_on)s
      AND open_time BETWEEN %(start_on)s::date - interval '2 days' AND %(end_on)s::date + interval '3 days'
      AND NOT EXISTS (
          SELECT FROM market.bars later
          WHERE later.symbol = b.symbol AND later."interval" = b."interval" AND later.open_time = b.open_time
            AND later.version > b.version
      )
"""
_SYNTHETIC = text("""
    SELECT EXISTS (SELECT FROM market.bars WHERE symbol = :symbol AND "interval" = :interval AND synthetic)
""")
_SOURCES = text("""
    SELECT DISTINCT source COLLATE "C" FROM market.bars JOIN market.batches USING (batch_id)
    WHERE symbol = :symbol AND "interval" = :interval AND details->>'drops' IS NULL ORDER BY 1
""")


@dataclass(frozen=True, slots=True)
class Series:
    """The bars of one symbol and interval: first and last session, both included, and how many."""

    symbol: str
    interval: Interval
    first_on: date
    last_on: date
    bars: int
    synthetic: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A batch as it lies in the database: where it came from, when, and what rows it brought."""

    batch_id: int
    source: str
    digest: str
    ingested_at: datetime
    synthetic: bool
    adjustment: str
    bars: int
    facts: int
    symbols: tuple[str, ...]
    dropped_at: datetime | None


def series(connection: Connection, as_of: datetime, symbol: str | None) -> tuple[Series, ...]:
    rows = connection.execute(_SERIES, {"as_of": as_of, "symbol": symbol})
    return tuple(Series(row[0], Interval(row[1]), *row[2:]) for row in rows)


def batches(connection: Connection) -> tuple[Held, ...]:
    rows = connection.execute(_BATCHES)
    return tuple(_held(row) for row in rows)


def _held(row: Sequence[Any]) -> Held:
    number, source, digest, came_in, synthetic, adjustment, bars, facts, symbols, dropped_at = row
    about = tuple(sorted(set(symbols)))
    dropped_at = None if dropped_at is None else dropped_at.astimezone(UTC)
    return Held(number, source, digest, came_in.astimezone(UTC), synthetic, adjustment, bars, facts, about, dropped_at)


def dropped_bars(connection: Connection, symbol: str, interval: Interval, start_on: date, end_on: date) -> int:
    asked = span(symbol, interval, start_on, end_on)
    return int(connection.exec_driver_sql(_GONE, asked).scalar_one())


def sources(connection: Connection, symbol: str, interval: Interval) -> tuple[str, ...]:
    return tuple(connection.execute(_SOURCES, {"symbol": symbol, "interval": interval.value}).scalars())


def any_synthetic(connection: Connection, symbol: str, interval: Interval) -> bool:
    asked = {"symbol": symbol, "interval": interval.value}
    return bool(connection.execute(_SYNTHETIC, asked).scalar_one())


def known_bars(
    engine: Engine, symbol: str, interval: Interval, as_of: datetime, start_on: date, end_on: date
) -> Generator[Bar, None, None]:
    """A page at a time; between pages no connection is held."""
    asked = {**span(symbol, interval, start_on, end_on), "as_of": as_of, "limit": PAGE}
    for _, versions in groupby(_versions(engine, asked), itemgetter(0)):
        *_, (*row, _) = versions
        bar = bar_of(symbol, interval, row)
        if DROPPED not in bar.flags:
            yield bar


def _versions(engine: Engine, asked: dict[str, Any]) -> Iterator[Any]:
    after, version = datetime.min.replace(tzinfo=UTC), 0
    rows: Sequence[Any] = range(PAGE)
    while len(rows) == PAGE:
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(_KNOWN, asked | {"after": after, "version": version}).all()
        for row in rows:
            yield row
            after, version = row[0], row[-1]
