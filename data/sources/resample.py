"""Longer bars out of shorter ones: 1h from 1m, 1d from 1h.

A longer bar begins on the UTC grid in a 24/7 market. On an exchange it begins at the session's open or at the end of
its lunch break, and never reaches over the close or into the break; a daily bar is one session. It is made only of bars
that its calendar has in it and that begin in whole steps from its start, so that none reaches over its edge, and only
when all of them are there: a hole is never bridged, unless it is asked for, and is counted in any case.

Point in time: a longer bar rests on its shorter ones as they were first printed, and is known at its end, or when the
last of them was: the last hour of a session may be known after the close. A correction of a shorter bar makes one of
the longer bar, and a dropped shorter bar takes the longer one with it, known from the resampling on. A series is made
of one other alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter

from data.model.errors import DataError, UsageError
from data.model.instants import Interval, show
from data.model.market import ALWAYS_OPEN, Bar, Finding, IngestReport, Instrument
from data.model.protocols import Clock
from data.sources.bars import EXAMPLES, RawBar
from data.sources.calendars import is_session, session_open, session_parts
from data.sources.ingest import ingest_bars
from data.sources.series import BarBatch, Watch, digest_of, unwatched
from data.store.bars import DROPPED
from data.store.store import Batch, Store

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVER = (date.min, date.max)


@dataclass(frozen=True, slots=True)
class Place:
    """The longer bar that a shorter one belongs to, where its steps are counted from, and how many of them it takes."""

    stamp: datetime | date
    ends: datetime
    takes: int
    grid: datetime = field(compare=False)  # a day with a lunch break has two


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
    left_out: dict[str, list[datetime]] = {"outside": [], "off_grid": []}
    made: list[RawBar] = []
    partial: list[datetime | date] = []
    for place, group in groupby(_placed(bars, calendar, shorter, longer, left_out), itemgetter(0)):
        parts = [bar for _, bar in group]
        if len(parts) != place.takes:
            partial.append(place.stamp)
        if len(parts) == place.takes or keep_partial:
            made.append(_joined(place, parts))
    findings = (*_left_out(left_out, shorter), *_partial(partial, longer, keep_partial=keep_partial))
    return Resampled(tuple(made), findings)


def _placed(
    bars: Iterable[Bar], calendar: str, shorter: Interval, longer: Interval, left_out: Mapping[str, list[datetime]]
) -> Iterator[tuple[Place, Bar]]:
    """Each bar with its place; those that fit nowhere go into `left_out`."""
    for bar in bars:
        place = place_of(bar, calendar, shorter, longer)
        if place is None:
            left_out["outside"].append(bar.open_time)
        elif (bar.open_time - place.grid) % shorter.length:
            left_out["off_grid"].append(bar.open_time)
        else:
            yield place, bar


def place_of(bar: Bar, calendar: str, shorter: Interval, longer: Interval) -> Place | None:
    """None for a bar outside of its exchange's sessions."""
    if calendar == ALWAYS_OPEN:
        start = bar.open_time - (bar.open_time - EPOCH) % longer.length
        stamp = start.date() if longer.is_daily else start
        return Place(stamp, start + longer.length, longer.length // shorter.length, start)
    if not is_session(calendar, bar.session_on):
        return None
    parts = session_parts(calendar, bar.session_on)
    part = next((each for each in parts if each[0] <= bar.open_time < each[1]), None)
    if part is None:
        return None
    opens, closes = part
    if longer.is_daily:
        takes = sum(_count(ends - begins, shorter) for begins, ends in parts)
        return Place(bar.session_on, parts[-1][1], takes, opens)
    start = opens + (bar.open_time - opens) // longer.length * longer.length
    ends = min(start + longer.length, closes)
    return Place(start, ends, _count(ends - start, shorter), start)


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

    What is not there yet comes from the first prints; what differs as known now follows as a correction, and what can
    no more be made as a tombstone.
    """
    symbol, target, now = instrument.symbol, name or instrument.symbol, clock.now()
    source = f"resample of {shorter} bars of {symbol}"
    if others := [each for each in store.series_sources(target, longer) if each != source]:
        raise UsageError(
            f"{longer} bars of {target} are there already, from {others[0]}; name others with --as_symbol NAME"
        )
    watch(f"joining {shorter} bars of {symbol}")
    versions = store.first_bars(symbol, shorter, *EVER), store.known_bars(symbol, shorter, now, *EVER)
    first, last = (resample(each, instrument.calendar, shorter, longer, keep_partial=keep_partial) for each in versions)
    held = {bar.open_time for bar in store.first_bars(target, longer, *EVER)}
    new = tuple(raw for raw in first.bars if _opens(raw, instrument) not in held)
    adjustment = store.adjustments((symbol,), shorter)[symbol]
    synthetic = store.any_synthetic(symbol, shorter)
    reports: list[IngestReport] = []
    for raws, findings in ((new, first.findings), (last.bars, last.findings)):
        if raws and not (reports and raws == new):
            batch = BarBatch(source, digest_of(raws), target, longer, raws, adjustment, findings)
            reports.append(
                ingest_bars(store, batch, clock=clock, market=instrument.calendar, synthetic=synthetic, watch=watch)
            )
    made = {_opens(raw, instrument) for raw in last.bars}
    gone = tuple(bar for bar in store.known_bars(target, longer, now, *EVER) if bar.open_time not in made)
    if gone:
        stamp = Batch(source, digest_of(gone), clock.now(), synthetic, adjustment, {"rows": len(gone)})
        reports.append(_let_go(store, stamp, gone))
    if not reports:
        raise _nothing(symbol, shorter, longer, first)
    return tuple(reports)


def _nothing(symbol: str, shorter: Interval, longer: Interval, found: Resampled) -> DataError:
    if any(finding.code == "off_grid" for finding in found.findings):
        return DataError(
            f"the {shorter} bars of {symbol} make no {longer} bar: "
            f"they do not begin in steps of {shorter} from its start"
        )
    return DataError(f"the {shorter} bars of {symbol} make no whole {longer} bar; gaps shows where the holes are")


def _let_go(store: Store, stamp: Batch, gone: tuple[Bar, ...]) -> IngestReport:
    """Tombstones: nothing is deleted, and a view as of an earlier instant still has these bars."""
    counts = store.add_bars(stamp, (replace(bar, flags=(DROPPED,)) for bar in gone))
    shown = tuple(show(bar.open_time) for bar in gone[:EXAMPLES])
    message = "bars whose parts are not all there any more; from now on they count no more either"
    return IngestReport(
        source=stamp.source,
        batch_digest=stamp.digest,
        symbol=gone[0].symbol,
        rows_read=len(gone),
        rows_new=counts.new,
        rows_corrected=counts.corrected,
        first=gone[0].open_time,
        last=gone[-1].open_time,
        findings=(Finding("dropped", "warning", len(gone), message, shown),),
    )


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
        known_at=max(place.ends, *(bar.known_at for bar in parts)),
    )


def _left_out(left_out: Mapping[str, list[datetime]], shorter: Interval) -> Iterator[Finding]:
    severities = {
        "outside": ("note", "bars outside of the exchange's hours, left out"),
        "off_grid": ("warning", f"bars that begin between the steps of {shorter} from a longer bar's start, left out"),
    }
    for code, opened in left_out.items():
        if opened:
            severity, message = severities[code]
            yield Finding(code, severity, len(opened), message, tuple(map(show, opened[:EXAMPLES])))


def _partial(partial: list[datetime | date], longer: Interval, *, keep_partial: bool) -> Iterator[Finding]:
    if partial:
        shown = tuple(show(at) if isinstance(at, datetime) else str(at) for at in partial[:EXAMPLES])
        what = "made of what is there" if keep_partial else "left out"
        yield Finding("partial", "warning", len(partial), f"{longer} bars with holes in them, {what}", shown)
