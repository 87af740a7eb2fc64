"""How many bars of an interval a year has, by the instrument's calendar: what rates are annualised with.

A 24/7 market trades 365 days of 24 hours. An exchange's year is the rounded mean of its sessions in the ten years
2015 to 2024, and a session its usual length: 252 days of 6.5 hours in New York. A daily bar is one session, whatever
its length.
"""

from __future__ import annotations

from functools import lru_cache

from data.model.instants import Interval
from data.model.market import ALWAYS_OPEN

DAYS, MINUTES_A_DAY = 365, 24 * 60
FIRST, LAST, YEARS = "2015-01-01", "2024-12-31", 10


def periods_per_year(calendar: str, interval: Interval) -> float:
    """Bars a year; `calendar` is `24/7` or a name of exchange_calendars. A session has one bar at least."""
    days, minutes = (DAYS, MINUTES_A_DAY) if calendar == ALWAYS_OPEN else _exchange(calendar)
    if interval.is_daily:
        return float(days)
    return days * max(minutes * 60 / interval.length.total_seconds(), 1.0)


@lru_cache(maxsize=8)
def _exchange(calendar: str) -> tuple[int, int]:
    """Sessions a year, and the minutes of a usual one."""
    import exchange_calendars as xcals  # noqa: PLC0415 (brings pandas: 24/7 markets do without)

    sessions = xcals.get_calendar(calendar, start=FIRST, end=LAST)
    lengths = (sessions.closes - sessions.opens).dt.total_seconds() / 60
    return round(len(sessions.sessions) / YEARS), int(lengths.mode().iloc[0])
