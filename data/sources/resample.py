"""Longer bars out of shorter ones: 1h from 1m, 1d from 1h.

A longer bar begins on the UTC grid in a 24/7 market, and at the session's open on an exchange, where it never reaches
over the close; a daily bar is one session. It is made only of bars that its calendar has in it, and only when all of
them are there: a hole is never bridged, unless it is asked for, and is counted in any case.

Point in time: a longer bar rests on its shorter ones as they were first printed, all of which were known by its end. A
correction of a shorter bar makes one of the longer bar, known from the resampling on. Limit: no lunch breaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby

from data.model.errors import DataError, UsageError
from data.model.instants import Interval, show
from data.model.market import ALWAYS_OPEN, Bar, Finding, IngestReport, Instrument
from data.model.protocols import Clock
from data.sources.bars import EXAMPLES, RawBar
from data.sources.calendars import is_session, session_close, session_open
from data.sources.ingest import ingest_bars
from data.sources.series import BarBatch, Watch, digest_of, unwatched
from data.store.store import Store

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SOURCE = "resample of"
EVER = (date(1900, 1, 1), date(2200, 1, 1))


@dataclass(frozen=True, slots=True)
class Place:
    """The longer bar that a shorter one belongs to, and how many of them it takes."""

    stamp: datetime | date
    ends: datetime
    takes: int


@dataclass(frozen=True, slots=True)
class Resampled:
    """Longer bars, oldest first, and what became of the rest."""

    bars: tuple[RawBar, ...]
    findings: tuple[Finding, ...]


def resample(
    bars: Iterable[Bar], calendar: str, shorter: Interval, longer: Interval, *, keep_partial: bool = False
) -> Resampled:
    """`bars` are one series, oldest first. Raises UsageError where the one does not divide the other."""
    if longer.length <= shorter.length or longer.length % shorter.length:
        raise UsageError(
            f"{longer} bars are not made of {shorter} bars; the longer has to be a multiple of the shorter"
        )
    made: list[RawBar] = []
    outside: list[datetime] = []
    partial: list[datetime | date] = []
    for place, group in groupby(bars, lambda bar: place_of(bar, calendar, shorter, longer)):
        parts = list(group)
        if place is None:
            outside += [bar.open_time for bar in parts]
            continue
        if len(parts) != place.takes:
            partial.append(place.stamp)
        if len(parts) == place.takes or keep_partial:
            made.append(_joined(place, parts))
    return Resampled(tuple(made), tuple(_findings(outside, partial, longer, keep_partial=keep_partial)))


def place_of(bar: Bar, calendar: str, shorter: Interval, longer: Interval) -> Place | None:
    """None for a bar outside of its exchange's sessions."""
    if calendar == ALWAYS_OPEN:
        start = bar.open_time - (bar.open_time - EPOCH) % longer.length
        stamp = start.date() if longer.is_daily else start
        return Place(stamp, start + longer.length, longer.length // shorter.length)
    if not is_session(calendar, bar.session_on):
        return None
    opens, closes = session_open(calendar, bar.session_on), session_close(calendar, bar.session_on)
    if not opens <= bar.open_time < closes:
        return None
    if longer.is_daily:
        return Place(bar.session_on, closes, _count(closes - opens, shorter))
    start = opens + (bar.open_time - opens) // longer.length * longer.length
    ends = min(start + longer.length, closes)
    return Place(start, ends, _count(ends - start, shorter))


def resample_series(
    store: Store,
    instrument: Instrument,
    shorter: Interval,
    longer: Interval,
    *,
    clock: Clock,
    name: str | None = None,
    keep_partial: bool = False,
    watch: Watch = unwatched,
) -> tuple[IngestReport, ...]:
    """Stores the longer bars under the same symbol or `name`. Raises UsageError and DataError; then nothing is stored.

    What is not there yet comes from the first prints; what differs as known now follows as a correction.
    """
    symbol, target, now = instrument.symbol, name or instrument.symbol, clock.now()
    others = [each for each in store.series_sources(target, longer) if not each.startswith(SOURCE)]
    if others:
        raise UsageError(
            f"{longer} bars of {target} are there already, from {others[0]}; name others with --as_symbol NAME"
        )
    watch(f"joining {shorter} bars of {symbol}")
    held = {bar.open_time for bar in store.first_bars(target, longer, *EVER)}
    versions = store.first_bars(symbol, shorter, *EVER), store.known_bars(symbol, shorter, now, *EVER)
    first, last = (resample(each, instrument.calendar, shorter, longer, keep_partial=keep_partial) for each in versions)
    new = tuple(raw for raw in first.bars if _opens(raw, instrument) not in held)
    if not first.bars and not last.bars:
        raise DataError(f"the {shorter} bars of {symbol} make no whole {longer} bar; gaps shows where the holes are")
    adjustment = store.adjustments((symbol,), shorter)[symbol]
    synthetic = bool(store.synthetic_sources((symbol,), shorter, now))
    reports: list[IngestReport] = []
    for raws, findings in ((new, first.findings), (last.bars, last.findings)):
        if raws and not (reports and raws == new):
            source = f"{SOURCE} {shorter} bars of {symbol}"
            batch = BarBatch(source, digest_of(raws), target, longer, raws, adjustment, findings)
            market = instrument.calendar if store.instrument(target) is None else None
            reports.append(ingest_bars(store, batch, clock=clock, market=market, synthetic=synthetic, watch=watch))
    return tuple(reports)


def _opens(raw: RawBar, instrument: Instrument) -> datetime:
    if isinstance(raw.stamp, datetime):
        return raw.stamp
    midnight = datetime(raw.stamp.year, raw.stamp.month, raw.stamp.day, tzinfo=UTC)
    return midnight if instrument.is_always_open else max(session_open(instrument.calendar, raw.stamp), midnight)


def _count(length: timedelta, shorter: Interval) -> int:
    """How many bars begin in a stretch; the last one may end behind it."""
    return -(-length // shorter.length)


def _joined(place: Place, parts: list[Bar]) -> RawBar:
    return RawBar(
        where=f"bars from {show(parts[0].open_time)}",
        stamp=place.stamp,
        open=parts[0].open,
        high=max(bar.high for bar in parts),
        low=min(bar.low for bar in parts),
        close=parts[-1].close,
        volume=sum((bar.volume for bar in parts), start=Decimal(0)),
        session_on=None if isinstance(place.stamp, datetime) else place.stamp,
    )


def _findings(
    outside: list[datetime], partial: list[datetime | date], longer: Interval, *, keep_partial: bool
) -> Iterator[Finding]:
    if outside:
        shown = tuple(show(at) for at in outside[:EXAMPLES])
        yield Finding("outside", "note", len(outside), "bars outside of the exchange's hours, left out", shown)
    if partial:
        shown = tuple(show(at) if isinstance(at, datetime) else str(at) for at in partial[:EXAMPLES])
        what = "made of what is there" if keep_partial else "left out"
        yield Finding("partial", "warning", len(partial), f"{longer} bars with holes in them, {what}", shown)
