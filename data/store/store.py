"""The store's face to the other rooms: bars, facts, instruments and runs, each as it was known at an instant."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Engine

from data.model.canonical import Json
from data.model.instants import Interval
from data.model.market import Bar, Fact, FactKind, Instrument
from data.store import bars as bar_rows
from data.store import bars_added, digest, drops, facts_added, holdings, instruments, runs
from data.store import facts as fact_rows
from data.store.batches import Batch, Counts, Window
from data.store.columns import BarColumns, first_columns
from data.store.drops import Dropped
from data.store.holdings import Held, Series
from data.store.runs import RunRow
from data.store.snapshot import Snapshot

__all__ = ["BarColumns", "Batch", "Counts", "Dropped", "Held", "RunRow", "Series", "Snapshot", "Store", "Window"]


@dataclass(frozen=True)
class Store:
    """Reads and writes of the schema `market`. Every method is a transaction of its own; threads may share a store."""

    engine: Engine

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Several reads of one state, in one transaction."""
        with self.engine.connect() as connection:
            yield Snapshot(connection.execution_options(isolation_level="REPEATABLE READ"))

    def put_instrument(self, instrument: Instrument) -> None:
        """Stores it in place of what was known of the symbol. Raises DataError for another calendar than before."""
        with self.engine.begin() as connection:
            instruments.put(connection, instrument)

    def instrument(self, symbol: str) -> Instrument | None:
        with self.engine.connect() as connection:
            return instruments.get(connection, symbol)

    def add_bars(self, batch: Batch, bars: Iterable[Bar], traded: Instrument | None = None) -> Counts:
        """Stores what is new. A bar that is known already changes nothing; with other prices it is a correction.

        `traded` is what the bars are of, where that is to be stored with them. All or nothing: DataError, from here or
        out of `bars`, leaves nothing behind.
        """
        return bars_added.add_bars(self.engine, batch, bars, traded)

    def bars_as_of(self, symbol: str, interval: Interval, as_of: datetime, limit: int) -> tuple[Bar, ...]:
        """The last `limit` bars known at `as_of`, oldest first, each in the version known then."""
        with self.engine.connect() as connection:
            return bar_rows.bars_as_of(connection, symbol, interval, as_of, limit)

    def first_bars(self, symbol: str, interval: Interval, start_on: date, end_on: date) -> Generator[Bar, None, None]:
        """The bars of these sessions as they were first printed, oldest first; read as they are needed."""
        return bar_rows.first_bars(self.engine, symbol, interval, start_on, end_on)

    def columns(self, symbol: str, interval: Interval, start_on: date, end_on: date) -> BarColumns:
        """The same rows in the same order as arrays. Raises DataError for a number that float64 cannot hold."""
        return first_columns(self.engine, symbol, interval, start_on, end_on)

    def session_counts(self, symbol: str, interval: Interval, start_on: date, end_on: date) -> Mapping[date, int]:
        """How many bars each session has, for those that have any, in order."""
        with self.engine.connect() as connection:
            return bar_rows.session_counts(connection, symbol, interval, start_on, end_on)

    def windows(self, symbol: str | None = None) -> tuple[Window, ...]:
        """What series are stored, by symbol and interval."""
        with self.engine.connect() as connection:
            return bar_rows.windows(connection, symbol)

    def known_bars(
        self, symbol: str, interval: Interval, as_of: datetime, start_on: date, end_on: date
    ) -> Generator[Bar, None, None]:
        """The bars of these sessions in the version known at `as_of`, oldest first; read as they are needed."""
        return holdings.known_bars(self.engine, symbol, interval, as_of, start_on, end_on)

    def series(self, as_of: datetime, symbol: str | None = None) -> tuple[Series, ...]:
        """What series there are as of an instant, of one symbol or of all."""
        with self.engine.connect() as connection:
            return holdings.series(connection, as_of, symbol)

    def series_sources(self, symbol: str, interval: Interval) -> tuple[str, ...]:
        """Where the bars of a series came from."""
        with self.engine.connect() as connection:
            return holdings.sources(connection, symbol, interval)

    def any_synthetic(self, symbol: str, interval: Interval) -> bool:
        """Whether a generator made any bar of a series, in any version."""
        with self.engine.connect() as connection:
            return holdings.any_synthetic(connection, symbol, interval)

    def batches(self) -> tuple[Held, ...]:
        """All batches that brought a row, in their order."""
        with self.engine.connect() as connection:
            return holdings.batches(connection)

    def drop_batch(self, number: int, reason: str, dropped_at: datetime) -> Dropped:
        """From `dropped_at` on nothing that the batch brought counts; before, all of it does. Raises UsageError."""
        return drops.drop_batch(self.engine, number, reason, dropped_at)

    def dropped_bars(self, symbol: str, interval: Interval, start_on: date, end_on: date) -> int:
        """How many bars of these sessions do not count any more, whatever `first_bars` gives of them."""
        with self.engine.connect() as connection:
            return holdings.dropped_bars(connection, symbol, interval, start_on, end_on)

    def adjustments(self, symbols: Sequence[str], interval: Interval) -> Mapping[str, str]:
        """For each symbol `none`, or what its bars were adjusted for when they were first stored."""
        with self.engine.connect() as connection:
            return bar_rows.adjustments(connection, symbols, interval)

    def is_adjusted(self, bars: tuple[Bar, ...], as_of: datetime) -> bool:
        """Whether any of these bars, as `bars_as_of` gave them, came in a batch of adjusted prices."""
        with self.engine.connect() as connection:
            return bar_rows.is_adjusted(connection, bars, as_of)

    def add_facts(self, batch: Batch, facts: Iterable[Fact]) -> Counts:
        """Stores what is new. A fact that says what was last said of it changes nothing; other values are corrections.

        A correction is known when it says it was published or, if it corrects what was published at that very instant,
        when it is ingested. All or nothing, as `add_bars`.
        """
        return facts_added.add_facts(self.engine, batch, facts)

    def facts_as_of(
        self,
        symbol: str,
        as_of: datetime,
        *,
        per_key: Mapping[FactKind, int] | None = None,
        newest: Mapping[FactKind, int] | None = None,
        keys: Mapping[FactKind, Collection[str]] | None = None,
    ) -> tuple[Fact, ...]:
        """Facts about the symbol and about every symbol in the version known at `as_of`, newest first.

        `per_key` takes that many of each key of a kind, of all its keys or of those in `keys`; `newest` takes that many
        of a kind, whatever their keys. A kind in neither is left out.
        """
        with self.engine.connect() as connection:
            return fact_rows.facts_as_of(connection, symbol, as_of, per_key or {}, newest or {}, keys or {})

    def actions_between(self, symbol: str, start_on: date, end_on: date) -> tuple[Fact, ...]:
        """Splits and dividends that apply from these sessions on, oldest first, as they were known on their day."""
        with self.engine.connect() as connection:
            return fact_rows.actions_between(connection, symbol, start_on, end_on)

    def data_digest(self, symbols: Sequence[str], interval: Interval, reach: digest.Reach) -> str:
        """SHA-256 over the bars of the series and the facts about them that a window can show."""
        with self.engine.connect() as connection:
            return digest.data_digest(connection, symbols, interval, reach)

    def synthetic_sources(self, symbols: Sequence[str], interval: Interval, known_by: datetime) -> tuple[str, ...]:
        """The sources of rows among those that a generator made."""
        with self.engine.connect() as connection:
            return digest.synthetic_sources(connection, symbols, interval, known_by)

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
