"""Where a series has holes: stretches of bars, or of sessions, that its calendar has and the data has not.

Inside a session holes are seen between two bars; a session's own beginning and end are not looked at, because sources
begin their bars at the open or at the full hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from data.model.instants import Interval
from data.model.market import Bar
from data.sources.calendars import sessions_between

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Gap:
    """`missing` bars from `begins` on, before `ends`; of whole sessions `missing` counts these."""

    begins: datetime | date
    ends: datetime | date
    missing: int
    unit: str


def gaps(bars: Iterable[Bar], calendar: str, interval: Interval, *, always_open: bool) -> Iterator[Gap]:
    """In order. `bars` are oldest first; read as they come."""
    for before, after in pairwise(bars):
        if always_open or before.session_on == after.session_on:
            step = after.open_time - before.open_time
            if step >= 2 * interval.length:
                yield Gap(before.open_time + interval.length, after.open_time, step // interval.length - 1, "bars")
        else:
            yield from _sessions(before.session_on + ONE_DAY, after.session_on - ONE_DAY, calendar)


def _sessions(first: date, last: date, calendar: str) -> Iterator[Gap]:
    missing = sessions_between(calendar, first, last) if first <= last else ()
    if missing:
        yield Gap(missing[0], missing[-1] + ONE_DAY, len(missing), "sessions")
