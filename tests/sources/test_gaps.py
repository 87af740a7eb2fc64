"""What counts as missing: what the market was open for, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import bar

from data.model.instants import Interval
from data.model.market import Bar
from data.sources.calendars import session_close, session_open, session_parts, sessions_between
from data.sources.gaps import Gap, gaps

HOUR = timedelta(hours=1)
BEFORE, HALF_DAY, AFTER = date(2024, 11, 27), date(2024, 11, 29), date(2024, 12, 2)
"""Thanksgiving and a weekend lie between."""


def hourly(calendar: str, session_on: date, first: timedelta = timedelta(0)) -> list[Bar]:
    """From so much after the open, and after the lunch break, to the close."""
    parts = [(opens + first, closes) for opens, closes in session_parts(calendar, session_on)]
    starts = [opens + number * HOUR for opens, closes in parts for number in range(-((opens - closes) // HOUR))]
    return [replace(bar(0), open_time=at, known_at=at + HOUR, session_on=session_on) for at in starts]


def found(bars: Sequence[Bar], calendar: str = "XNYS") -> list[Gap]:
    return list(gaps(bars, calendar, Interval.H1, always_open=False))


@pytest.mark.parametrize("first", [timedelta(0), timedelta(minutes=30)])
@pytest.mark.parametrize("calendar", ["XNYS", "CMES", "XLON", "XTKS", "XHKG"])
def test_nights_holidays_half_days_and_changed_clocks_are_no_gaps(calendar: str, first: timedelta) -> None:
    days = [*sessions_between(calendar, date(2024, 10, 21), date(2025, 1, 10))]
    assert found([*chain.from_iterable(hourly(calendar, day, first) for day in days)], calendar) == []


def test_hours_that_lack_at_a_sessions_edges_are_a_gap() -> None:
    bars = [*hourly("XNYS", BEFORE)[:4], *hourly("XNYS", HALF_DAY)[2:], *hourly("XNYS", AFTER)]
    closes, opens = session_close("XNYS", BEFORE), session_open("XNYS", HALF_DAY)
    assert found(bars) == [
        Gap(closes - timedelta(minutes=150), closes, 3, "bars"),
        Gap(opens, opens + 2 * HOUR, 2, "bars"),
    ]


def test_hours_that_lack_on_both_sides_of_lunch_are_two_gaps() -> None:
    bars = hourly("XTKS", AFTER)
    (_, noon), (afternoon, _) = session_parts("XTKS", AFTER)
    assert found([bars[0], *bars[5:]], "XTKS") == [
        Gap(bars[0].open_time + HOUR, noon, 2, "bars"),
        Gap(afternoon, afternoon + 2 * HOUR, 2, "bars"),
    ]


def test_sessions_that_lack_come_between_the_edges() -> None:
    bars = [*hourly("XNYS", BEFORE)[:2], *hourly("XNYS", AFTER)[3:]]
    assert [(each.unit, each.missing) for each in found(bars)] == [("bars", 5), ("sessions", 1), ("bars", 3)]


def test_holes_before_the_open_and_after_the_close_are_none() -> None:
    inside = hourly("XNYS", AFTER)
    opens = inside[0].open_time
    outside = [replace(inside[0], open_time=opens + number * HOUR) for number in (-5, -3, 9, 11)]
    assert found([*outside[:2], *inside, *outside[2:]]) == []


def test_a_day_that_the_calendar_does_not_have_expects_nothing() -> None:
    inside = hourly("XNYS", AFTER)
    holiday = [replace(each, open_time=each.open_time - timedelta(days=4)) for each in inside[::3]]
    strange = [replace(each, session_on=date(2024, 11, 28)) for each in holiday]
    assert [each.unit for each in found([*hourly("XNYS", BEFORE), *strange, *inside])] == ["sessions"]


@settings(deadline=None)
@given(st.sets(st.integers(1, 99), max_size=30))
def test_bars_and_gaps_fill_the_time_of_a_market_that_never_closes(without: set[int]) -> None:
    bars = [bar(number) for number in range(101) if number not in without]
    holes = list(gaps(bars, "24/7", Interval.H1, always_open=True))
    assert sum(each.missing for each in holes) == len(without)
    assert all(isinstance(each.begins, datetime) and each.begins < each.ends for each in holes)
