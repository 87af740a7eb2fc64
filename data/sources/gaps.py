"""Where a series has holes: stretches of bars, or of sessions, that its calendar has and the data has not.

On an exchange only its hours count: what is traded outside of them may have holes. At the edges of a session and of its
lunch break an hour, or a bar, may be missing, because sources begin their bars at the open or at the full hour; and
where a series itself begins and ends is no gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from data.model.instants import Interval, show
from data.model.market import Bar
from data.sources.calendars import is_session, session_parts, sessions_between

ONE_DAY, ONE_HOUR = timedelta(days=1), timedelta(hours=1)


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
        begins, ends = before.open_time + interval.length, after.open_time
        if always_open:
            if begins < ends:
                yield Gap(begins, ends, -(-(ends - begins) // interval.length), "bars")
        elif before.session_on == after.session_on:
            yield from _inside(before.session_on, begins, ends, calendar, interval)
        else:
            yield from _inside(before.session_on, begins, ends, calendar, interval)
            yield from _sessions(before.session_on + ONE_DAY, after.session_on - ONE_DAY, calendar)
            yield from _inside(after.session_on, begins, ends, calendar, interval)


def _inside(session_on: date, begins: datetime, ends: datetime, calendar: str, interval: Interval) -> Iterator[Gap]:
    """What of a stretch without bars lies in a session's hours."""
    if begins >= ends or interval.is_daily or not is_session(calendar, session_on):
        return
    for opens, closes in session_parts(calendar, session_on):
        first, last = max(begins, opens), min(ends, closes)
        loose = max(interval.length, ONE_HOUR) if first == opens or last == closes else timedelta(0)
        if last - first > loose:
            yield Gap(first, last, -(-(last - first) // interval.length), "bars")


def counted(number: int, things: str) -> str:
    """`1 gap`, `2 gaps`; `things` is a plural in s."""
    return f"{number:,} {things[:-1] if number == 1 else things}"


def shown(at: datetime | date) -> str:
    """The end of a gap, for people."""
    return show(at) if isinstance(at, datetime) else str(at)


def _sessions(first: date, last: date, calendar: str) -> Iterator[Gap]:
    missing = sessions_between(calendar, first, last) if first <= last else ()
    if missing:
        yield Gap(missing[0], missing[-1] + ONE_DAY, len(missing), "sessions")
