"""Several reads of one state of the store: what is committed meanwhile is in all of them, or in none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from data.model.instants import Interval
from data.model.market import EVERY_SYMBOL, AssetClass, Bar, Fact, FactKind, Instrument
from data.store import bars as bar_rows
from data.store import facts as fact_rows

# Writers wait for each other, so batches are committed in the order of their numbers.
_STATE = """
    SELECT (SELECT max(batch_id) FROM market.batches), symbol, asset_class, calendar, currency, tick, lot, min_notional
    FROM (SELECT %s::text COLLATE "C" AS symbol) asked LEFT JOIN market.instruments USING (symbol)
"""
_QUIET = """
    SELECT max(before.known_at), min(after.known_at) FROM unnest(%(symbols)s::text[]) AS about (symbol)
    LEFT JOIN LATERAL (
        SELECT known_at FROM market.facts f WHERE f.symbol = about.symbol AND f.known_at <= %(as_of)s
        ORDER BY known_at DESC LIMIT 1
    ) before ON true
    LEFT JOIN LATERAL (
        SELECT known_at FROM market.facts f WHERE f.symbol = about.symbol AND f.known_at > %(as_of)s
        ORDER BY known_at LIMIT 1
    ) after ON true
"""
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Reads of one moment, for one thread; as the methods of `Store` of the same names."""

    connection: Connection

    def state(self, symbol: str) -> tuple[int, Instrument | None]:
        """The number of the last batch: as long as it stays, so do all bars and facts. And what is traded."""
        row = self.connection.exec_driver_sql(_STATE, (symbol,)).one()
        traded = None if row[2] is None else Instrument(row[1], AssetClass(row[2]), *row[3:])
        return row[0] or 0, traded

    def bars_as_of(self, symbol: str, interval: Interval, as_of: datetime, limit: int) -> tuple[Bar, ...]:
        return bar_rows.bars_as_of(self.connection, symbol, interval, as_of, limit)

    def bars_since(
        self, symbol: str, interval: Interval, since: datetime, as_of: datetime, first: datetime | None
    ) -> tuple[Bar, ...]:
        """Those that became known after `since` and by `as_of`, oldest first, in the version known then: one that
        says that a bar was dropped, too.

        Only those that open from `first` on; None for all.
        """
        return bar_rows.bars_since(self.connection, symbol, interval, since, as_of, first or _FIRST)

    def is_adjusted(self, bars: tuple[Bar, ...], as_of: datetime) -> bool:
        return bar_rows.is_adjusted(self.connection, bars, as_of)

    def facts_as_of(
        self,
        symbol: str,
        as_of: datetime,
        per_key: Mapping[FactKind, int],
        newest: Mapping[FactKind, int],
        keys: Mapping[FactKind, Collection[str]],
    ) -> tuple[Fact, ...]:
        return fact_rows.facts_as_of(self.connection, symbol, as_of, per_key, newest, keys)

    def facts_unchanged(self, symbol: str, as_of: datetime) -> tuple[datetime, datetime]:
        """From when, and until before when, the facts about the symbol are those known at `as_of`."""
        asked = {"symbols": [symbol, EVERY_SYMBOL], "as_of": as_of}
        begun, ends = self.connection.exec_driver_sql(_QUIET, asked).one()
        return begun or _FIRST, ends or _LAST
