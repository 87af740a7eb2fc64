"""Brings facts in: read, check, store, report. Every way in ends here.

Nothing is stored before the whole source was read and found good; storing is one transaction. The same content again
changes nothing. A symbol and interval hold bars of ONE adjustment, because mixing levels would look like corrections.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np

from data.model.canonical import Json
from data.model.errors import DataError, UsageError
from data.model.instants import Interval, show
from data.model.market import AssetClass, Bar, Finding, IngestReport, Instrument
from data.model.protocols import Clock
from data.sources import binance, yahoo
from data.sources.bars import build_series, utc_day
from data.sources.calendars import ONE_DAY
from data.sources.csv_bars import UNADJUSTED, read_bar_file
from data.sources.facts import Places
from data.sources.facts_file import read_fact_file
from data.sources.instruments import calendar_of, instrument_for
from data.sources.quality import inspect
from data.sources.sample import INDICES, sample_bars, sample_facts
from data.sources.series import BarBatch, FactBatch, Watch, unwatched
from data.store.batches import Batch
from data.store.store import Store

COMMAND = "python -m scripts.ingest"
NO_NAMES: Mapping[str, str] = {}


def ingest_bar_file(
    store: Store,
    path: Path,
    symbol: str,
    interval: Interval,
    *,
    clock: Clock,
    market: str | None = None,
    rename: Mapping[str, str] = NO_NAMES,
    synthetic: bool = False,
    watch: Watch = unwatched,
) -> IngestReport:
    """One CSV file of bars. Raises UsageError or DataError; then nothing was stored."""
    watch(f"reading {path.name}")
    file = read_bar_file(path, symbol, interval, rename)
    batch = BarBatch(f"csv {file.name}", file.digest, symbol, interval, file.bars, file.adjustment, file.findings)
    synthetic = synthetic or file.synthetic
    return ingest_bars(store, batch, clock=clock, market=market, synthetic=synthetic, watch=watch)


def ingest_fact_file(
    store: Store,
    path: Path,
    *,
    clock: Clock,
    market: str | None = None,
    rename: Mapping[str, str] = NO_NAMES,
    synthetic: bool = False,
    watch: Watch = unwatched,
) -> IngestReport:
    """One CSV file of facts, its layout recognised by its header. Raises UsageError or DataError as above."""
    watch(f"reading {path.name}")

    @lru_cache
    def calendar(symbol: str) -> str:
        stored = None if market else store.instrument(symbol)
        return stored.calendar if stored else calendar_of(symbol, market)

    file = read_fact_file(path, Places(rename, calendar))
    batch = FactBatch(f"csv {file.name} ({file.layout})", file.digest, file.rows, file.facts.facts, file.facts.findings)
    return ingest_facts(store, batch, clock=clock, synthetic=synthetic, watch=watch)


def ingest_sample(store: Store, *, clock: Clock, watch: Watch = unwatched) -> tuple[IngestReport, ...]:
    """The real daily data that the `arch` package ships: two indices as bars, two series as facts."""
    watch("reading the sample")
    bars = [ingest_bars(store, batch, clock=clock, watch=watch) for batch in sample_bars()]
    return (*bars, *(ingest_facts(store, batch, clock=clock, watch=watch) for batch in sample_facts()))


def ingest_window(
    store: Store,
    symbol: str,
    interval: Interval,
    start_on: date,
    end_on: date,
    *,
    clock: Clock,
    market: str | None = None,
    watch: Watch = unwatched,
) -> IngestReport:
    """A missing window from the feed that `missing_window_command` names. Raises UsageError where none has it."""
    feed = _feed(symbol, interval)
    if feed == "binance":
        batch = binance.fetch_binance(binance.connect(), symbol, interval, start_on, end_on, watch=watch)
    elif feed == "yahoo":
        batch = yahoo.fetch_yahoo(yahoo.connect(), symbol, interval, start_on, end_on, watch=watch)
    else:
        command = missing_window_command(symbol, interval, start_on, end_on, market)
        raise UsageError(f"no feed has {interval} bars of {symbol}; bring them with: {command}")
    return ingest_bars(store, batch, clock=clock, market=market, watch=watch)


def missing_window_command(
    symbol: str, interval: Interval, start_on: date, end_on: date, market: str | None = None
) -> str:
    """The command that brings these bars."""
    feed, asked = _feed(symbol, interval), f"--symbol {shlex.quote(symbol)} --interval {interval}"
    if feed == "sample":
        return f"{COMMAND} sample"
    if market:
        asked += f" --market {shlex.quote(market)}"
    return f"{COMMAND} {feed} {asked} --start {start_on} --end {end_on}" if feed else f"{COMMAND} csv FILE {asked}"


def _feed(symbol: str, interval: Interval) -> str | None:
    kind = instrument_for(symbol).asset_class
    if symbol in INDICES:
        return "sample" if interval.is_daily else None
    if kind is AssetClass.PERPETUAL:
        return None
    if kind is AssetClass.CRYPTO and not symbol.endswith("-USD"):
        return "binance"
    return "yahoo" if interval in yahoo.INTERVALS else None


def ingest_bars(
    store: Store,
    batch: BarBatch,
    *,
    clock: Clock,
    market: str | None = None,
    synthetic: bool = False,
    watch: Watch = unwatched,
) -> IngestReport:
    """Raises DataError where the bars cannot be what they are said to be."""
    now = clock.now()
    instrument = _instrument(store, batch, market)
    watch(f"checking {len(batch.bars):,} bars of {batch.symbol}")
    series = build_series(batch.source, batch.bars, instrument, batch.interval, now)
    _refuse_overlaps(store, batch, instrument, series.bars)
    bars, odd = inspect(series.bars, instrument, batch.interval, adjusted=batch.adjustment != UNADJUSTED)
    findings = (*_marks(batch.adjustment, len(bars), synthetic), *batch.findings, *series.findings, *odd)
    watch(f"storing {len(bars):,} bars of {batch.symbol}")
    details: dict[str, Json] = {"calendar": instrument.calendar, "rows": len(batch.bars)}
    stamp = Batch(batch.source, batch.digest, now, synthetic, batch.adjustment, details)
    counts = store.add_bars(stamp, bars, instrument)
    return IngestReport(
        source=batch.source,
        batch_digest=batch.digest,
        symbol=batch.symbol,
        rows_read=len(batch.bars),
        rows_new=counts.new,
        rows_corrected=counts.corrected,
        first=bars[0].open_time,
        last=bars[-1].open_time,
        findings=findings,
        details={"calendar": instrument.calendar, "adjustment": batch.adjustment, "synthetic": synthetic},
    )


def ingest_facts(
    store: Store, batch: FactBatch, *, clock: Clock, synthetic: bool = False, watch: Watch = unwatched
) -> IngestReport:
    """Raises DataError if there is nothing to store."""
    if not batch.facts:
        raise DataError(f"{batch.source}: no row can be used; nothing was stored")
    watch(f"storing {len(batch.facts):,} facts")
    symbols = sorted({fact.symbol for fact in batch.facts})
    counts = store.add_facts(
        Batch(batch.source, batch.digest, clock.now(), synthetic, UNADJUSTED, {"rows": batch.rows}), batch.facts
    )
    return IngestReport(
        source=batch.source,
        batch_digest=batch.digest,
        symbol=", ".join(symbols),
        rows_read=batch.rows,
        rows_new=counts.new,
        rows_corrected=counts.corrected,
        first=batch.facts[0].known_at,
        last=batch.facts[-1].known_at,
        findings=(*_marks(UNADJUSTED, len(batch.facts), synthetic), *batch.findings, *_without_bars(store, symbols)),
        details={"synthetic": synthetic},
    )


def _instrument(store: Store, batch: BarBatch, market: str | None) -> Instrument:
    """What was decided at the first ingest stays: it decides when bars were known."""
    stored = store.instrument(batch.symbol)
    if stored is None:
        return instrument_for(batch.symbol, sorted(map(utc_day, batch.bars)), market)
    if market and market != stored.calendar:
        raise UsageError(
            f"{batch.symbol} is stored with the calendar {stored.calendar}, not {market}; "
            "bring these bars under another symbol"
        )
    return stored


def _refuse_overlaps(store: Store, batch: BarBatch, instrument: Instrument, bars: Sequence[Bar]) -> None:
    """Hours that begin at half past beside hours that begin at the full hour would be one series of both."""
    if batch.interval.is_daily and not instrument.is_always_open:
        return
    held = store.columns(batch.symbol, batch.interval, bars[0].session_on - ONE_DAY, bars[-1].session_on + ONE_DAY)
    if not len(held):
        return
    opened = np.array([bar.open_time.replace(tzinfo=None) for bar in bars], "datetime64[us]")
    both = np.union1d(held.open_time, opened)
    close = np.flatnonzero(np.diff(both) < np.timedelta64(batch.interval.length))
    if close.size:
        before, after = (show(at.astype(datetime).replace(tzinfo=UTC)) for at in both[close[0] : close[0] + 2])
        raise DataError(
            f"{batch.source}: with the bars that are there, one would begin at {before} and the next at {after}, "
            f"which are no {batch.interval} bars; bring these under another symbol"
        )


def _marks(adjustment: str, rows: int, synthetic: bool) -> list[Finding]:
    marks = []
    if synthetic:
        marks.append(Finding("synthetic", "warning", rows, "rows marked synthetic; real backtests refuse them"))
    if adjustment != UNADJUSTED:
        message = f"adjusted ({adjustment}): fine for returns, but the levels contain later corporate actions"
        marks.append(Finding("adjusted", "warning", rows, message))
    return marks


def _without_bars(store: Store, symbols: list[str]) -> list[Finding]:
    strangers = tuple(symbol for symbol in symbols if symbol != "*" and store.instrument(symbol) is None)
    message = "symbols that no bars have yet; if yours are written otherwise: --rename BTC BTCUSDT"
    return [Finding("no_bars", "note", len(strangers), message, strangers[:5])] if strangers else []
