"""Sessions, their ends, and the ends of days."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_files import utc

from data.model.errors import UsageError
from data.sources import calendars

CALENDARS = ("24/7", "XNYS", "CMES", "XTKS", "XASX")
days = st.dates(date(1999, 1, 1), date(2030, 12, 31))


@pytest.mark.parametrize(
    ("calendar", "day", "close"),
    [
        ("XNYS", date(2024, 6, 10), "2024-06-10T20:00"),
        ("XNYS", date(2024, 12, 10), "2024-12-10T21:00"),
        ("XNYS", date(2024, 7, 3), "2024-07-03T17:00"),  # early close
        ("XNYS", date(2024, 7, 4), "2024-07-05T04:00"),  # no session: the end of the day in New York
        ("CMES", date(2020, 4, 20), "2020-04-20T22:00"),
        ("XCBF", date(2018, 7, 2), "2018-07-02T20:15"),
        ("24/7", date(2024, 6, 10), "2024-06-11T00:00"),
    ],
)
def test_sessions_end_when_the_exchange_closes(calendar: str, day: date, close: str) -> None:
    assert calendars.session_close(calendar, day) == utc(close)


@pytest.mark.parametrize(
    ("calendar", "day", "end"),
    [
        ("24/7", date(2022, 5, 12), "2022-05-13T00:00"),
        ("XNYS", date(2024, 11, 1), "2024-11-02T04:00"),
        ("XNYS", date(2024, 12, 1), "2024-12-02T05:00"),
        ("XTKS", date(2024, 6, 10), "2024-06-10T15:00"),
    ],
)
def test_a_day_ends_at_midnight_in_the_markets_zone(calendar: str, day: date, end: str) -> None:
    assert calendars.end_of_day(calendar, day) == utc(end)


def test_the_sessions_of_a_window_include_both_ends() -> None:
    assert len(calendars.sessions_between("24/7", date(2025, 4, 1), date(2025, 4, 10))) == 10
    week = calendars.sessions_between("XNYS", date(2024, 7, 1), date(2024, 7, 7))
    assert week == (date(2024, 7, 1), date(2024, 7, 2), date(2024, 7, 3), date(2024, 7, 5))
    assert calendars.sessions_between("XNYS", date(2024, 7, 6), date(2024, 7, 7)) == ()
    assert calendars.sessions_between("24/7", date(2024, 7, 6), date(2024, 7, 5)) == ()


def test_a_closed_day_opens_with_the_next_session() -> None:
    assert calendars.session_open("XNYS", date(2024, 7, 4)) == utc("2024-07-05T13:30")


def test_an_unknown_market_says_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"unknown market 'NOWHERE'; use 24/7, XNYS"):
        calendars.end_of_day("NOWHERE", date(2024, 1, 2))


@pytest.mark.parametrize("calendar", CALENDARS)
@settings(deadline=None)  # the first use of a calendar builds it
@given(day=days)
def test_a_sessions_times_are_in_order_and_lead_back_to_it(calendar: str, day: date) -> None:
    closes = calendars.session_close(calendar, day)
    if calendars.is_session(calendar, day):
        opens, label = calendars.session_open(calendar, day), calendars.daily_open_time(calendar, day)
        assert opens <= label < closes
        assert label.date() == day
        assert {calendars.session_of(calendar, each) for each in (opens, label)} == {day}
        assert calendars.is_open(calendar, opens)
        assert calendars.is_open(calendar, closes - timedelta(minutes=1))
        assert calendars.sessions_between(calendar, day, day) == (day,)
    else:
        assert closes == calendars.end_of_day(calendar, day)
        assert calendars.daily_open_time(calendar, day) < closes


@settings(deadline=None)
@given(instant=st.datetimes(datetime(1999, 1, 1), datetime(2030, 1, 1)))  # noqa: DTZ001 (hypothesis wants them naive)
def test_no_day_has_ended_before_it_began(instant: datetime) -> None:
    moment = utc(instant.isoformat())
    for calendar in CALENDARS:
        local = moment.astimezone(calendars.zone(calendar)).date()
        assert calendars.end_of_day(calendar, local) > moment
