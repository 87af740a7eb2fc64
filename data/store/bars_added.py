"""What of a batch of bars is stored, as SQL over sets.

Bars of one series in order that lie where nothing is stored yet are new whatever they say: they go straight into the
table. From the first that is otherwise on, they are laid beside what is stored and compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain

from sqlalchemy import Connection, Engine, text

from data.model.errors import DataError
from data.model.instants import require_utc, show
from data.model.market import Bar, Instrument
from data.store import instruments
from data.store.bars import adjustments, windows
from data.store.batches import MANY, Batch, Counts, begin_batch
from data.store.copying import cell, copy_lines, instant

_PRINTED = 'symbol, "interval", open_time, known_at, session_on, open, high, low, close, volume, flags'
_INCOMING = text("""
    CREATE TEMPORARY TABLE incoming_bars (
        symbol text COLLATE "C", "interval" text COLLATE "C",
        open_time timestamptz, known_at timestamptz, session_on date,
        open numeric, high numeric, low numeric, close numeric, volume numeric, flags text[]
    ) ON COMMIT DROP
""")
_CONFLICT = text("""
    SELECT symbol, open_time FROM (
        SELECT symbol, "interval", open_time FROM incoming_bars GROUP BY symbol, "interval", open_time
        HAVING count(DISTINCT (open, high, low, close, volume)) > 1
        UNION ALL
        SELECT i.symbol, i."interval", i.open_time
        FROM incoming_bars i JOIN market.bars b USING (symbol, "interval", open_time)
        WHERE b.batch_id = :batch_id
          AND (b.open, b.high, b.low, b.close, b.volume) IS DISTINCT FROM (i.open, i.high, i.low, i.close, i.volume)
    ) contradicted ORDER BY symbol, open_time LIMIT 1
""")
_NEXT_STORED = text("""
    SELECT min(open_time) FROM market.bars
    WHERE symbol = :symbol AND "interval" = :interval AND open_time >= :open_time
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
           OR ('dropped' = ANY(latest.flags)) <> ('dropped' = ANY(i.flags))
        ORDER BY i.symbol, i."interval", i.open_time
        RETURNING version
    )
    SELECT count(*) FILTER (WHERE version = 1), count(*) FILTER (WHERE version > 1) FROM stored
""")


def add_bars(engine: Engine, batch: Batch, bars: Iterable[Bar], traded: Instrument | None) -> Counts:
    with engine.connect() as connection, connection.begin() as transaction:
        stamp = begin_batch(connection, batch)
        given = _Given(iter(bars))
        if traded is not None:
            instruments.put(connection, traded)
            _refuse_mixed_levels(connection, batch, given.next)
        apart = _store_apart(connection, stamp, given)
        compared = _store_compared(connection, stamp, given)
        stored = apart + compared.new + compared.corrected
        if not stored:
            transaction.rollback()  # nothing new leaves nothing, not even a batch
        elif stored >= MANY:
            connection.exec_driver_sql("ANALYZE market.bars")
    return Counts(apart + compared.read, apart + compared.new, compared.corrected)


def _refuse_mixed_levels(connection: Connection, batch: Batch, first: Bar | None) -> None:
    """A series holds bars of one adjustment: those of another would look like corrections.

    Looked at here, where every other writer is done: of two at once, the second sees what the first stored.
    """
    if first is None or not any(each.interval is first.interval for each in windows(connection, first.symbol)):
        return
    symbol, held = first.symbol, adjustments(connection, (first.symbol,), first.interval)[first.symbol]
    if held != batch.adjustment:
        raise DataError(
            f"{batch.source}: adjustment {batch.adjustment!r}, but {symbol} {first.interval} holds bars with {held!r}; "
            f"bring these as a file under another symbol: --symbol {symbol}.ADJ --rename {symbol} {symbol}.ADJ"
        )


class _Given:
    """The bars of a batch, whose next one can be looked at."""

    def __init__(self, bars: Iterator[Bar]) -> None:
        self._bars = bars
        self.next = next(bars, None)

    def take(self) -> Iterator[Bar]:
        """All that are left."""
        while (bar := self.next) is not None:
            self.next = next(self._bars, None)
            yield bar

    def in_order(self, end: datetime | None) -> Iterator[Bar]:
        """Those of the next one's series, as long as each opens after the one before it and before `end`."""
        if (first := self.next) is None:
            return
        last: datetime | None = None
        for bar in chain((first,), self._bars):
            self.next = bar
            opened = bar.open_time
            if bar.symbol != first.symbol or bar.interval is not first.interval:
                return
            if (end and opened >= end) or (last and opened <= last):
                return
            last = opened
            yield bar
        self.next = None


def _store_apart(connection: Connection, stamp: Mapping[str, object], given: _Given) -> int:
    """Stores bars as long as they cannot meet another one; returns how many those were."""
    if (first := given.next) is None:
        return 0
    where = {"symbol": first.symbol, "interval": first.interval.value, "open_time": require_utc(first.open_time)}
    end = connection.execute(_NEXT_STORED, where).scalar_one()
    stamped = f"\t1\t{stamp['synthetic']}\t{stamp['batch_id']}\n"
    into = f"market.bars ({_PRINTED}, version, synthetic, batch_id)"
    return copy_lines(connection, into, _lines(given.in_order(end), stamped))


def _store_compared(connection: Connection, stamp: Mapping[str, object], given: _Given) -> Counts:
    """Stores of the bars that are left what is new, or other than what is stored."""
    if given.next is None:
        return Counts(0, 0, 0)
    connection.execute(_INCOMING)
    read = copy_lines(connection, f"incoming_bars ({_PRINTED})", _lines(given.take(), "\n"))
    if conflict := connection.execute(_CONFLICT, stamp).first():
        symbol, opened = conflict
        raise DataError(f"two different bars of {symbol} for {show(opened)} in one batch; nothing was stored")
    new, corrected = connection.execute(_STORE, stamp).one()
    return Counts(read, new, corrected)


def _lines(bars: Iterable[Bar], end: str) -> Iterator[str]:
    """A line for each, in the order of `_PRINTED`; flat, because it is done a million times for a long file."""
    symbol, interval, series = "", None, ""
    session_on, day = None, ""
    for bar in bars:
        if bar.symbol is not symbol or bar.interval is not interval:
            symbol, interval = bar.symbol, bar.interval
            series = f"{cell(symbol)}\t{cell(interval.value)}"
        if bar.session_on != session_on:
            session_on = bar.session_on
            day = session_on.isoformat()
        flags = cell(bar.flags) if bar.flags else "{}"
        known_at = instant(bar.known_at)
        # A Decimal goes into %s twice as fast as into an f-string.
        yield "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s%s" % (  # noqa: UP031
            series,
            instant(bar.open_time),
            known_at,
            day,
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            flags,
            end,
        )
