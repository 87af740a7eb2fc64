"""From rows as a source printed them to bars with a session and the instant they were known.

Rules, the same for every source:
- Intraday and 24/7: a bar is known at `open_time + interval`.
- Daily on an exchange: known at its session's close (early closes too); on a day that the calendar does not know, at
  the end of that day. Its `open_time` is the session's open whatever label the source gave it, so that two sources
  meet in one bar. The session is the stated one, else the label's: a date as it is, 00:00 UTC as that date, any other
  instant as the session it falls in.
- Prices and volumes are kept to 1e-8.
- A bar that has not ended at the time of the ingest is left out and counted.
- Two different rows for one bar, or bars closer together than the interval, reject the source; equal rows count once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise

from data.model.canonical import decimal_text
from data.model.errors import DataError
from data.model.instants import Interval, show
from data.model.market import ALWAYS_OPEN, Bar, Finding, Instrument
from data.sources.calendars import daily_open_time, is_session, session_close, session_of, session_open, zone

PLACES = Decimal("0.00000001")
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class RawBar:
    """A bar as printed, to 1e-8. `where` says where (`line 17`); `stamp` is its start, or a date for a daily bar.

    `known_at` is None for what is known by the rules above.
    """

    where: str
    stamp: datetime | date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    session_on: date | None = None
    known_at: datetime | None = None

    @classmethod
    def of(
        cls, where: str, stamp: datetime | date, prices: Sequence[Decimal], session_on: date | None = None
    ) -> RawBar:
        """`prices` are open, high, low, close and volume, as printed."""
        opened, high, low, close, volume = (value.quantize(PLACES) for value in prices)
        return cls(where, stamp, opened, high, low, close, volume, session_on)


@dataclass(frozen=True, slots=True)
class Series:
    """Bars of one instrument, oldest first, and what was odd about how they were printed."""

    bars: tuple[Bar, ...]
    findings: tuple[Finding, ...]


def utc_day(raw: RawBar) -> date:
    """The bar's stated session, else its UTC date: enough to see whether a market trades on Saturdays."""
    if raw.session_on:
        return raw.session_on
    return raw.stamp.astimezone(UTC).date() if isinstance(raw.stamp, datetime) else raw.stamp


def build_series(
    source: str, raws: Iterable[RawBar], instrument: Instrument, interval: Interval, now: datetime
) -> Series:
    """Raises DataError naming the row. `now` decides which bars have ended."""
    printed = [(raw, _bar(source, raw, instrument, interval)) for raw in raws]
    findings = list(_order(source, [bar for _, bar in printed]))
    findings += _zones(printed, instrument, interval)
    printed.sort(key=lambda each: each[1].open_time)
    unique, repeated = _without_repeats(source, printed)
    findings += repeated
    ended = [bar for _, bar in unique if bar.known_at <= now]
    if len(ended) < len(unique):
        first = unique[len(ended)][1]
        message = f"bars that had not ended at {show(now)}, left out; bring them again later"
        findings.append(Finding("unfinished", "warning", len(unique) - len(ended), message, (show(first.open_time),)))
    if not ended:
        raise DataError(f"{source}: no bar has ended yet at {show(now)}")
    _check_spacing(source, unique, instrument, interval)
    return Series(tuple(ended), tuple(findings))


def _bar(source: str, raw: RawBar, instrument: Instrument, interval: Interval) -> Bar:
    if raw.volume < 0:
        raise DataError(f"{source}, {raw.where}: volume {decimal_text(raw.volume)} is negative; nothing was stored")
    open_time, known_at, session_on = _times(source, raw, instrument.calendar, interval)
    return Bar(
        symbol=instrument.symbol,
        interval=interval,
        open_time=open_time,
        known_at=raw.known_at or known_at,
        open=raw.open,
        high=raw.high,
        low=raw.low,
        close=raw.close,
        volume=raw.volume,
        session_on=session_on,
    )


def _times(source: str, raw: RawBar, calendar: str, interval: Interval) -> tuple[datetime, datetime, date]:
    if interval.is_daily and calendar != ALWAYS_OPEN:
        session_on = _daily_session(source, raw, calendar)
        open_time, known_at = daily_open_time(calendar, session_on), session_close(calendar, session_on)
        return open_time, known_at, session_on
    if isinstance(raw.stamp, datetime):
        open_time = raw.stamp
    elif interval.is_daily:
        open_time = datetime.combine(raw.stamp, time(), tzinfo=UTC)
    else:
        raise DataError(f"{source}, {raw.where}: a date alone is no start of a {interval} bar; nothing was stored")
    session_on = session_of(calendar, open_time)
    if raw.session_on not in (None, session_on):
        raise _conflict(source, raw, session_on)
    return open_time, open_time + interval.length, session_on


def _daily_session(source: str, raw: RawBar, calendar: str) -> date:
    if not isinstance(raw.stamp, datetime):
        if raw.session_on not in (None, raw.stamp):
            raise _conflict(source, raw, raw.stamp)
        return raw.stamp
    in_utc = raw.stamp.astimezone(UTC)
    falls_in = session_of(calendar, in_utc)
    if raw.session_on is None:
        return in_utc.date() if in_utc.time() == time() else falls_in
    if raw.session_on not in (in_utc.date(), falls_in, in_utc.astimezone(zone(calendar)).date()):
        raise _conflict(source, raw, falls_in)
    return raw.session_on


def _conflict(source: str, raw: RawBar, other: date) -> DataError:
    return DataError(
        f"{source}, {raw.where}: session date {raw.session_on} and open time {raw.stamp} ({other}) disagree; "
        "nothing was stored"
    )


def _order(source: str, bars: Sequence[Bar]) -> Iterator[Finding]:
    late = [after for before, after in pairwise(bars) if after.open_time < before.open_time]
    if late:
        yield Finding(
            "out_of_order", "note", len(late), "rows earlier than the row before; sorted by time", _shown(late)
        )


def _zones(printed: Sequence[tuple[RawBar, Bar]], instrument: Instrument, interval: Interval) -> Iterator[Finding]:
    """Daily bars labelled neither with a midnight nor inside their session: a local time with a wrong zone."""
    calendar = instrument.calendar
    if not interval.is_daily or calendar == ALWAYS_OPEN:
        return
    wrong = [bar for raw, bar in printed if isinstance(raw.stamp, datetime) and _bad_zone(raw.stamp, bar, calendar)]
    if wrong:
        message = (
            f"daily bars stamped outside of their {calendar} session: local times with a wrong zone? known at close"
        )
        yield Finding("bad_zone", "warning", len(wrong), message, _shown(wrong))


def _bad_zone(stamp: datetime, bar: Bar, calendar: str) -> bool:
    if not is_session(calendar, bar.session_on):
        return False
    local = (stamp, stamp.astimezone(UTC), stamp.astimezone(zone(calendar)))
    in_session = session_open(calendar, bar.session_on) <= stamp < bar.known_at
    return not in_session and all(each.time() != time() for each in local)


def _without_repeats(
    source: str, printed: Sequence[tuple[RawBar, Bar]]
) -> tuple[list[tuple[RawBar, Bar]], list[Finding]]:
    unique: list[tuple[RawBar, Bar]] = []
    repeats: list[Bar] = []
    for raw, bar in printed:
        if not unique or unique[-1][1].open_time != bar.open_time:
            unique.append((raw, bar))
        elif unique[-1][1] == bar:
            repeats.append(bar)
        else:
            first = unique[-1][0].where
            raise DataError(
                f"{source}, {raw.where}: another bar for {show(bar.open_time)} than in {first}; nothing was stored"
            )
    message = "rows that repeat another row exactly; each counts once"
    return unique, [Finding("duplicate", "note", len(repeats), message, _shown(repeats))] if repeats else []


def _check_spacing(source: str, rows: Sequence[tuple[RawBar, Bar]], instrument: Instrument, interval: Interval) -> None:
    if interval.is_daily and not instrument.is_always_open:
        steps = [after[1].session_on - before[1].session_on for before, after in pairwise(rows)]
        too_close, too_far = timedelta(0), timedelta(days=4)
    else:
        steps = [after[1].open_time - before[1].open_time for before, after in pairwise(rows)]
        too_close, too_far = interval.length, interval.length
    if not steps:
        return
    shortest = min(steps)
    if shortest < too_close:
        raw = rows[steps.index(shortest) + 1][0]
        raise DataError(
            f"{source}, {raw.where}: starts {shortest} after the bar before, which is no {interval} bar; "
            "nothing was stored"
        )
    if len(steps) > 1 and shortest > too_far:
        raise DataError(f"{source}: the bars are {shortest} or more apart, so --interval {interval} is not theirs")


def _shown(bars: Sequence[Bar]) -> tuple[str, ...]:
    return tuple(show(bar.open_time) for bar in bars[:EXAMPLES])
