"""The store's face to the other rooms: bars, facts, instruments and runs, each as it was known at an instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Engine

from data.model.canonical import Json
from data.model.instants import Interval
from data.model.market import Bar, Instrument
from data.store import bars as bar_rows
from data.store import instruments, runs
from data.store.batches import Batch, Counts, Window
from data.store.runs import RunRow

__all__ = ["Batch", "Counts", "RunRow", "Store", "Window"]


@dataclass(frozen=True)
class Store:
    """Reads and writes of the schema `market`. Every method is one transaction of its own; threads may share a store."""

    engine: Engine

    def put_instrument(self, instrument: Instrument) -> None:
        """Stores it in place of what was known of the symbol. Raises DataError for another calendar than before."""
        with self.engine.begin() as connection:
            instruments.put(connection, instrument)

    def instrument(self, symbol: str) -> Instrument | None:
        with self.engine.connect() as connection:
            return instruments.get(connection, symbol)

    def add_bars(self, batch: Batch, bars: Iterable[Bar]) -> Counts:
        """Stores what is new. A bar that is known already changes nothing; with other prices it is a correction.

        All or nothing: DataError, from here or out of `bars`, leaves nothing behind.
        """
        return bar_rows.add_bars(self.engine, batch, bars)

    def bars_as_of(self, symbol: str, interval: Interval, as_of: datetime, limit: int) -> tuple[Bar, ...]:
        """The last `limit` bars known at `as_of`, oldest first, each in the version known then."""
        with self.engine.connect() as connection:
            return bar_rows.bars_as_of(connection, symbol, interval, as_of, limit)

    def first_bars(self, symbol: str, interval: Interval, start_on: date, end_on: date) -> Iterator[Bar]:
        """The bars of these sessions as they were first printed, oldest first; streamed from the server."""
        return bar_rows.first_bars(self.engine, symbol, interval, start_on, end_on)

    def session_counts(self, symbol: str, interval: Interval, start_on: date, end_on: date) -> Mapping[date, int]:
        """How many bars each session has, for those that have any, in order."""
        with self.engine.connect() as connection:
            return bar_rows.session_counts(connection, symbol, interval, start_on, end_on)

    def windows(self, symbol: str | None = None) -> tuple[Window, ...]:
        """What series are stored, by symbol and interval."""
        with self.engine.connect() as connection:
            return bar_rows.windows(connection, symbol)

    def adjustments(self, symbols: Sequence[str], interval: Interval) -> Mapping[str, str]:
        """For each symbol `none`, or what its bars were adjusted for when they were first stored."""
        with self.engine.connect() as connection:
            return bar_rows.adjustments(connection, symbols, interval)

    def begin_run(self, run_id: str, question: Json, run_dir: str, started_at: datetime) -> None:
        """Lists a run before its first call. `question` as JSON values."""
        with self.engine.begin() as connection:
            runs.begin(connection, run_id, question, run_dir, started_at)

    def end_run(
        self, run_id: str, status: str, result_digest: str | None, summary: Mapping[str, object], ended_at: datetime
    ) -> None:
        """What came of it. Raises LookupError for a run that was never begun."""
        with self.engine.begin() as connection:
            runs.end(connection, run_id, status, result_digest, summary, ended_at)

    def runs(self) -> tuple[RunRow, ...]:
        """All runs, in the order they began."""
        with self.engine.connect() as connection:
            return runs.listed(connection)
