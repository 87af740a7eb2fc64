"""What is odd about a series of bars: kept and flagged, never repaired.

Flags stay on the bar: `ohlc` (high and low do not bracket open and close), `zero_volume`, `non_positive_price`,
`off_calendar` (the exchange is said to be closed that day), `off_session` (an intraday bar outside of regular hours).
Gaps are counted by the instrument's calendar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise

from data.model.instants import Interval, show
from data.model.market import AssetClass, Bar, Finding, Instrument
from data.sources.bars import EXAMPLES
from data.sources.calendars import is_open, is_session, sessions_between
from data.sources.gaps import counted, gaps, shown

Flag = Callable[[Bar, Instrument], bool]
FLAGS: Mapping[str, tuple[str, str, Flag]] = {
    "ohlc": (
        "warning",
        "bars whose high and low do not bracket open and close",
        lambda bar, _: bar.high < max(bar.open, bar.close, bar.low) or bar.low > min(bar.open, bar.close),
    ),
    "zero_volume": ("note", "bars without volume", lambda bar, _: bar.volume == 0),
    "non_positive_price": (
        "warning",
        "bars with a price of zero or less; nothing is traded at such a price",
        lambda bar, _: min(bar.open, bar.high, bar.low, bar.close) <= 0,
    ),
    "off_calendar": (
        "note",
        "bars on days that the calendar does not have; known at the end of their day",
        lambda bar, instrument: not is_session(instrument.calendar, bar.session_on),
    ),
    "off_session": (
        "note",
        "bars outside of the exchange's hours: extended trading, or times in a wrong zone",
        lambda bar, instrument: not bar.interval.is_daily and not is_open(instrument.calendar, bar.open_time),
    ),
}
# A price that moved by a whole factor overnight, to a tenth: what a split looks like in unadjusted bars.
NEAR = Decimal("0.1")


def inspect(
    bars: Sequence[Bar], instrument: Instrument, interval: Interval, *, adjusted: bool = False
) -> tuple[tuple[Bar, ...], list[Finding]]:
    """The bars with their flags, and what was found. `bars` are unique and oldest first."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {name: [] for name in FLAGS}
    flagged = []
    for bar in bars:
        names = tuple(name for name, (_, _, is_odd) in FLAGS.items() if is_odd(bar, instrument))
        counts.update(names)
        for name in names:
            if len(examples[name]) < EXAMPLES:
                examples[name].append(show(bar.open_time))
        flagged.append(replace(bar, flags=names) if names else bar)
    findings = [
        Finding(name, severity, counts[name], message, tuple(examples[name]))
        for name, (severity, message, _) in FLAGS.items()
        if counts[name]
    ]
    findings += _gaps(bars, instrument, interval)
    if instrument.asset_class is AssetClass.EQUITY and not adjusted:
        findings += _splits(bars)
    return tuple(flagged), findings


def _gaps(bars: Sequence[Bar], instrument: Instrument, interval: Interval) -> Iterator[Finding]:
    found = gaps(bars, instrument.calendar, interval, always_open=instrument.is_always_open)
    holes = [gap for gap in found if gap.unit == "bars"]
    if holes:
        places = tuple(f"{shown(gap.begins)} to {shown(gap.ends)}" for gap in holes[:EXAMPLES])
        message = f"{interval} bars are missing, in {counted(len(holes), 'gaps')}"
        yield Finding("gap", "warning", sum(gap.missing for gap in holes), message, places)
    if not instrument.is_always_open:
        yield from _missing_sessions(bars, instrument)


def _missing_sessions(bars: Sequence[Bar], instrument: Instrument) -> Iterator[Finding]:
    held = {bar.session_on for bar in bars}
    expected = sessions_between(instrument.calendar, bars[0].session_on, bars[-1].session_on)
    missing = [day for day in expected if day not in held]
    if missing:
        message = f"sessions of {instrument.calendar} have no bar"
        yield Finding("gap", "warning", len(missing), message, tuple(str(day) for day in missing[:EXAMPLES]))


def split_like(bars: Iterable[Bar]) -> Iterator[tuple[date, str]]:
    """Sessions whose first price is a whole multiple or part of the last one before, to a tenth, as `10:1`."""
    for before, after in pairwise(bars):
        if _overnight(before, after) and (ratio := _ratio(before.close, after.open)):
            yield after.session_on, ratio


def _splits(bars: Sequence[Bar]) -> Iterator[Finding]:
    found = tuple(f"{day} ({ratio})" for day, ratio in split_like(bars))
    if found:
        message = "openings that look like a split; if so, bring it: python -m scripts.ingest facts FILE"
        yield Finding("split_like", "warning", len(found), message, found[:EXAMPLES])


def _overnight(before: Bar, after: Bar) -> bool:
    return before.session_on != after.session_on and before.close > 0 and after.open > 0


def _ratio(close: Decimal, opened: Decimal) -> str | None:
    factor = max(close, opened) / min(close, opened)
    whole = round(factor)
    if whole < 2 or abs(factor / whole - 1) > NEAR:
        return None
    return f"{whole}:1" if close > opened else f"1:{whole}"
