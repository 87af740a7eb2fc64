"""When markets are open: session dates, opens and closes of a calendar, and the end of a day in its zone.

A calendar is `24/7` (arithmetic on UTC days) or a name of `exchange_calendars`, which is loaded at the first use.
Exchange calendars reach from 1960, or from where the package knows them, to 2040. CMES has short sessions on holidays
of the United States, for which sources print no daily bar.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from data.model.errors import UsageError
from data.model.market import ALWAYS_OPEN

FIRST, LAST = "1960-01-01", "2040-12-31"
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class _Sessions:
    """A calendar's sessions in order, with the UTC instants of their opens, closes and lunch breaks."""

    zone: ZoneInfo
    days: tuple[date, ...]
    opens: tuple[datetime, ...]
    closes: tuple[datetime, ...]
    index: Mapping[date, int]
    breaks: Mapping[date, tuple[datetime, ...]]


def sessions_between(calendar: str, start_on: date, end_on: date) -> tuple[date, ...]:
    """The session dates from `start_on` to `end_on`, both included. Raises UsageError for an unknown calendar."""
    if calendar == ALWAYS_OPEN:
        return tuple(start_on + n * ONE_DAY for n in range((end_on - start_on).days + 1))
    days = _sessions(calendar).days
    return days[bisect_left(days, start_on) : bisect_right(days, end_on)]


def is_session(calendar: str, day: date) -> bool:
    return calendar == ALWAYS_OPEN or day in _sessions(calendar).index


def session_open(calendar: str, session_on: date) -> datetime:
    """The open of that session or, where the exchange is closed on that day, of the next one."""
    if calendar == ALWAYS_OPEN:
        return _midnight(session_on)
    sessions = _sessions(calendar)
    place = bisect_left(sessions.days, session_on)
    return sessions.opens[place] if place < len(sessions.opens) else end_of_day(calendar, session_on)


def session_close(calendar: str, session_on: date) -> datetime:
    """When that session ends; early closes are known. The end of the day where the exchange has no session."""
    if calendar == ALWAYS_OPEN:
        return _midnight(session_on + ONE_DAY)
    sessions = _sessions(calendar)
    place = sessions.index.get(session_on)
    return end_of_day(calendar, session_on) if place is None else sessions.closes[place]


def session_parts(calendar: str, session_on: date) -> tuple[tuple[datetime, datetime], ...]:
    """When a session of that exchange trades: from open to close, or before and after its lunch break."""
    opens, closes = session_open(calendar, session_on), session_close(calendar, session_on)
    lunch = None if calendar == ALWAYS_OPEN else _sessions(calendar).breaks.get(session_on)
    return ((opens, closes),) if lunch is None else ((opens, lunch[0]), (lunch[1], closes))


def session_of(calendar: str, instant: datetime) -> date:
    """The session that the instant falls in; outside of all sessions its date in the exchange's zone."""
    if calendar == ALWAYS_OPEN:
        return instant.astimezone(UTC).date()
    sessions = _sessions(calendar)
    place = bisect_right(sessions.opens, instant) - 1
    if place >= 0 and instant < sessions.closes[place]:
        return sessions.days[place]
    return instant.astimezone(sessions.zone).date()


def is_open(calendar: str, instant: datetime) -> bool:
    """Whether a session is on at that instant."""
    if calendar == ALWAYS_OPEN:
        return True
    sessions = _sessions(calendar)
    place = bisect_right(sessions.opens, instant) - 1
    return place >= 0 and instant < sessions.closes[place]


def daily_open_time(calendar: str, session_on: date) -> datetime:
    """The `open_time` of a daily bar: its session's open, or 00:00 UTC where that lies on the UTC day before.

    So a futures session that opens the evening before is still written with its own date.
    """
    if not is_session(calendar, session_on):
        return _midnight(session_on)
    return max(session_open(calendar, session_on), _midnight(session_on))


def end_of_day(calendar: str, day: date) -> datetime:
    """The midnight that ends the day in the exchange's zone; in UTC for a 24/7 market."""
    if calendar == ALWAYS_OPEN:
        return _midnight(day + ONE_DAY)
    return datetime.combine(day + ONE_DAY, time(), tzinfo=zone(calendar)).astimezone(UTC)


def zone(calendar: str) -> ZoneInfo:
    return ZoneInfo("UTC") if calendar == ALWAYS_OPEN else _sessions(calendar).zone


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


@lru_cache(maxsize=8)
def _sessions(calendar: str) -> _Sessions:
    import exchange_calendars as xcals  # noqa: PLC0415 (brings pandas: 24/7 markets do without)
    from exchange_calendars.errors import InvalidCalendarName  # noqa: PLC0415

    try:
        bounds = xcals.get_calendar(calendar)
    except InvalidCalendarName:
        known = "24/7, XNYS, XNAS, CMES, XLON, XETR, XTKS"
        raise UsageError(f"unknown market {calendar!r}; use {known} or another name of exchange_calendars") from None
    earliest, latest = bounds.bound_min(), bounds.bound_max()
    full = xcals.get_calendar(
        calendar,
        start=FIRST if earliest is None else max(FIRST, str(earliest.date())),
        end=LAST if latest is None else min(LAST, str(latest.date())),
    )
    days = tuple(stamp.date() for stamp in full.sessions)
    lunches = full.schedule[["break_start", "break_end"]].dropna()
    return _Sessions(
        zone=ZoneInfo(str(full.tz)),
        days=days,
        opens=_instants(full.opens),
        closes=_instants(full.closes),
        index={day: place for place, day in enumerate(days)},
        breaks={day.date(): _instants(lunch) for day, *lunch in lunches.itertuples(name=None)},
    )


def _instants(stamps: Iterable[Any]) -> tuple[datetime, ...]:
    return tuple(stamp.to_pydatetime().astimezone(UTC) for stamp in stamps)
